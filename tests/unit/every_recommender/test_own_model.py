"""A package with a model of its own, installed by pip: the one that docs/howto/your-own-model.md shows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.training

GUIDE = Path(__file__).parents[3] / "docs" / "howto" / "your-own-model.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that pip has installed the guide's package into."""
    package = tmp_path_factory.mktemp("package")
    (package / "shared_facts.py").write_text(blocks("python")[0], encoding="utf-8")
    (package / "pyproject.toml").write_text(blocks("toml")[0], encoding="utf-8")
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", target]
    subprocess.run([*command, package], check=True, timeout=300, capture_output=True, text=True)
    return target


def run(site: Path, code: str, cwd: Path) -> str:
    path = f"import sys; sys.path[:0] = [{str(site)!r}, {str(GUIDE.parents[2])!r}]\n"
    done = subprocess.run(
        [sys.executable, "-c", path + code], capture_output=True, text=True, timeout=300, check=False, cwd=cwd
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_installed_model_is_listed_trained_saved_and_its_users_can_be_erased(site: Path, tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
import kgplug, pandas as pd
from kgplug.jobs.erase_user import erase_from_run

print([(info.needs, info.good_for) for info in kgplug.available() if info.name == "SharedFacts"])
{blocks("python")[1].replace('kgplug.register("SharedFacts", SharedFacts)', "")}
model.save(Path("run"))
assert kgplug.load("run").recommend(users=["ann"], k=2).equals(model.recommend(users=["ann"], k=2))
assert erase_from_run(Path("run"), "", "ann")
print("ann" in kgplug.load("run").user_keys)
"""
    printed = run(site, code, tmp_path).splitlines()
    assert printed[0] == "[('likes + triples', 'added by shared-facts')]"
    assert "Eden" in "".join(printed) and printed[-1] == "False"


def test_without_the_package_a_run_says_what_is_missing(site: Path, tmp_path: Path) -> None:
    save = blocks("python")[1] + "\nfrom pathlib import Path\nmodel.save(Path('run'))\n"
    run(site, save.replace('kgplug.register("SharedFacts", SharedFacts)\n', ""), tmp_path)
    code = "import kgplug\ntry:\n    kgplug.load('run')\nexcept kgplug.KgplugError as error:\n    print(error)"
    assert "run holds a model that is not installed here" in run(tmp_path / "nowhere", code, tmp_path)
