"""Before kgplug is installed: each obstacle is reported in one sentence."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TOOLS = ("make", "sh", "bash", "touch", "echo", "rm", "env")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout without an environment, as after git clone."""
    for name in ("Makefile", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def path_with(folder: Path, *, python: str | None) -> str:
    """Make a folder of commands with make's tools and a script with this text as python3."""
    folder.mkdir()
    for tool in TOOLS:
        (folder / tool).symlink_to(shutil.which(tool) or pytest.fail(f"{tool} is missing on this machine"))
    if python is not None:
        (folder / "python3").write_text(python)
        (folder / "python3").chmod(0o755)
    return str(folder)


def make(checkout: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--no-print-directory", "demo"],
        cwd=checkout,
        env={"HOME": str(checkout), "PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize(
    ("python", "found"),
    [("#!/bin/sh\n[ $1 = --version ] && echo Python 3.9.2 || exit 1\n", "Python 3.9.2"), (None, "no Python that runs")],
)
def test_an_unsuitable_python_is_named_with_what_to_do(checkout: Path, python: str | None, found: str) -> None:
    result = make(checkout, PATH=path_with(checkout / "commands", python=python))
    assert result.returncode != 0
    sentence = result.stderr.splitlines()[0]
    assert "kgplug needs Python 3.11 or 3.12" in sentence
    assert f"found {found}" in sentence
    assert not (checkout / ".venv").exists()


@pytest.mark.slow
def test_without_a_network_a_python_that_works_is_found_and_one_sentence_says_what_is_missing(checkout: Path) -> None:
    commands = path_with(checkout / "commands", python="#!/bin/sh\nexit 1\n")
    (checkout / "commands" / "python3.12").symlink_to("/bin/false")  # a shim that is no Python
    result = make(
        checkout,
        PATH=commands,
        PYTHON=sys.executable,
        PIP_INDEX_URL="http://127.0.0.1:1/",
        PIP_FIND_LINKS="",
        PIP_RETRIES="0",
    )
    assert f"Making .venv with Python {sys.version_info.major}.{sys.version_info.minor}" in result.stdout
    assert result.returncode != 0
    assert result.stderr.splitlines()[0].startswith("The packages could not be installed. Is there a network")
    assert not (checkout / ".venv" / ".demo").exists()  # so the next try starts over


def test_ci_checks_the_code_before_the_tests_whose_summary_is_the_last_thing_printed() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert [line for line in lines if line.startswith("make")] == ["make check", "make test"]
    assert lines[-1] == "make test"
    assert "set -euo pipefail" in lines
