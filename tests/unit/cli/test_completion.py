"""What a shell completes after `kgplug`: commands, options, models, runs, queries; quickly and without a database."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kgplug.cli import completion
from tests.unit.helpers.printed import printed

pytestmark = pytest.mark.slow

RUNS = ("mkr-20260101-000000-ab12", "mkr-rated-20260103-000000-ab13", "wide-deep-20260102-000000-ab14")
COMPLETE = """
eval "$(kgplug --show-completion bash)"
COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 ))
_kgplug_completion kgplug
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with runs, and a command `kgplug` on the PATH."""
    for run in RUNS:
        (tmp_path / "runs" / run).mkdir(parents=True)
    program = tmp_path / "bin" / "kgplug"
    program.parent.mkdir()
    code = "import sys; sys.argv[0] = 'kgplug'; from kgplug.cli import main; main()"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{code}" "$@"\n')
    program.chmod(0o755)
    root = str(Path(completion.__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])))
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("KGPLUG_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="no bash on this machine")


@needs_bash
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (("train", "MKR-"), ["MKR-attention", "MKR-rated"]),
        (("publish", "mkr"), ["mkr-rated-20260103-000000-ab13", "mkr-20260101-000000-ab12"]),
        (("train", "Wide"), ["Wide\\&Deep"]),
        (("cypher", "rec"), ["recommend"]),
        (("publish", "--see"), ["--seen"]),
        (("publish", "--seen", ""), ["all", "train", "none"]),
        (("db", "st"), ["start", "stop", "status"]),
        (("unpub",), ["unpublish"]),
    ],
    ids=str,
)
def test_bash_completes(typed: tuple[str, ...], offered: list[str], home: Path) -> None:
    done = subprocess.run(
        ["bash", "--norc", "-c", COMPLETE, "bash", "kgplug", *typed], capture_output=True, text=True, check=False
    )
    assert (done.stdout.split(), done.stderr) == (offered, "")


@needs_bash
def test_completion_is_installed_for_new_shells_and_only_once(home: Path) -> None:
    for _ in range(2):
        done = subprocess.run(["kgplug", "--install-completion", "bash"], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
    assert (home / ".bashrc").read_text().count("kgplug.sh") == 1
    ready = subprocess.run(
        ["bash", "--norc", "-c", f"source {home}/.bashrc; complete -p kgplug"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "_kgplug_completion" in ready.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_every_shell_has_its_script(shell: str) -> None:
    shown = printed("--show-completion", shell)
    assert (shown.code, shown.err) == (0, "")
    assert "kgplug" in shown.out and "_KGPLUG_COMPLETE" in shown.out


@pytest.mark.parametrize(
    ("shell", "line"),
    [
        ("zsh", {"_TYPER_COMPLETE_ARGS": "kgplug train MKR-r"}),
        ("fish", {"_TYPER_COMPLETE_ARGS": "kgplug train MKR-r", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}),
    ],
)
def test_other_shells_are_answered_as_their_scripts_ask(shell: str, line: dict[str, str], home: Path) -> None:
    asked = {**os.environ, **line, "_KGPLUG_COMPLETE": f"complete_{shell}"}
    done = subprocess.run(["kgplug"], env=asked, capture_output=True, text=True, check=False)
    assert "MKR-rated" in done.stdout and "KGCN" not in done.stdout


def test_an_unknown_shell_is_refused_with_those_that_are_known() -> None:
    refused = printed("--show-completion", "tcsh")
    assert refused.code == 2
    assert refused.err.startswith("Error: ") and "bash, zsh, fish" in refused.err


def test_runs_are_offered_with_their_models_the_newest_first(home: Path) -> None:
    offered = completion.run_names("")
    assert sorted(offered[:3]) == ["MKR", "MKR-rated", "Wide&Deep"]
    assert offered[3:] == [RUNS[1], RUNS[2], RUNS[0]]


def test_where_a_published_model_is_asked_for_no_runs_are_offered(home: Path) -> None:
    assert sorted(completion.trained_models("")) == ["MKR", "MKR-rated", "Wide&Deep"]
    assert completion.trained_models("mkr-2") == []


def test_names_are_completed_without_heavy_packages(home: Path) -> None:
    code = (
        "import sys; from kgplug.cli import app, completion; completion.model_names(''); completion.run_names('')\n"
        "print({'torch', 'pykeen', 'dgl', 'neo4j', 'pandas', 'implicit', 'scipy', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
