"""Files of libraries are kept under KGPLUG_HOME, and importing kgplug creates none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kgplug.graph.server.config import command_line
from kgplug.graph.server.java import Java
from kgplug.graph.server.versions import NEWEST
from tests import warm_python

pytestmark = pytest.mark.training

TRAINS = """
import pandas as pd, kgplug
facts = pd.DataFrame({"head": [1, 2, 3], "relation": ["R"] * 3, "tail": [4, 4, 5]})
kgplug.create("TransE", epochs=1, device="cpu").fit(kgplug.KnowledgeGraph.from_dataframe(facts), progress=False)
"""


def run(code: str, home: Path, **environment: str) -> None:
    """Run code as a user whose home is empty."""
    done = warm_python.run(code=code, env=of_a_user(home) | environment, cwd=home)
    assert done.returncode == 0, done.stderr


def of_a_user(home: Path) -> dict[str, str]:
    """Return the environment of a user whose home is empty."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYKEEN", "PYSTOW", "XDG"))}
    own = {"HOME": str(home), "KGPLUG_HOME": str(home / "kgplug"), "PYTHONPATH": str(Path(__file__).parents[3])}
    return kept | own


def folders(home: Path) -> set[str]:
    return {str(path.relative_to(home)) for path in home.rglob("*") if path.is_dir()}


def test_pykeen_keeps_its_files_under_kgplugs_home(tmp_path: Path) -> None:
    run(TRAINS, tmp_path)
    assert {path.split("/")[0] for path in folders(tmp_path)} == {"kgplug"}
    assert "kgplug/pystow/pykeen/datasets" in folders(tmp_path)


def test_pykeens_data_sets_also_keep_their_files_there(tmp_path: Path) -> None:
    run("import kgplug.pykeen_bridge.dataset", tmp_path)
    assert {path.split("/")[0] for path in folders(tmp_path)} == {"kgplug"}


@pytest.mark.parametrize("name", ["PYKEEN_HOME", "PYSTOW_HOME"])
def test_a_folder_that_the_user_has_chosen_is_used(name: str, tmp_path: Path) -> None:
    chosen = tmp_path / "chosen"
    run(TRAINS, tmp_path, **{name: str(chosen)})
    below = chosen if name == "PYKEEN_HOME" else chosen / "pykeen"
    assert (below / "datasets").is_dir()
    assert not (tmp_path / "kgplug" / "pystow" / "pykeen").exists()


def test_importing_kgplug_makes_no_folder(tmp_path: Path) -> None:
    code = "import kgplug, kgplug.models, kgplug.cli; kgplug.create('TransE'); kgplug.available()"
    subprocess.run([sys.executable, "-c", code], env=of_a_user(tmp_path), cwd=tmp_path, check=True)
    assert folders(tmp_path) == set()


def test_the_local_server_unpacks_nothing_into_the_users_home(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    command_line(tmp_path, NEWEST, Java(Path("java"), 21), [])
    assert f'"-Djna.tmpdir={tmp_path / "run"}"' in (tmp_path / "conf" / "java.arguments").read_text().splitlines()
