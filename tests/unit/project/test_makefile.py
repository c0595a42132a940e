"""Before kgplug is installed: each obstacle is reported in one sentence."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TOOLS = ("make", "sh", "bash", "touch", "echo", "rm", "env", "grep")
NO_GPU = pytest.mark.skipif(Path("/proc/driver/nvidia").exists(), reason="this machine has an NVIDIA GPU")
PYTORCH = "https://download.pytorch.org/whl/cpu"
# A Python of another version, as far as make looks: it reports the version, runs code and makes no environment.
PYTHON_OF = """#!/bin/sh
case $1 in
  --version) echo Python {version} ;;
  -c) exec {executable} -c "import sys; sys.version_info = tuple(map(int, '{version}'.split('.'))); $2" ;;
  *) exit 1 ;;
esac
"""
# The Python of an environment, whose pip installs nothing, and which writes down what it was asked to do.
PYTHON_OF_VENV = """#!/bin/sh
echo "$*" >>.venv/asked
case "$*" in
  --version) echo Python 3.12.1 ;;
  *"config list") echo "$CONFIGURED" ;;
  *"index versions torch"*) exit $ANSWER ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout without an environment, as after git clone."""
    for name in ("Makefile", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def path_with(folder: Path, *, python: str | None) -> str:
    """Make a folder of commands with make's tools and a script with this text as python3."""
    folder.mkdir()
    write(folder / "uname", "#!/bin/sh\necho Linux\n")
    write(folder / "timeout", '#!/bin/sh\nshift; exec "$@"\n')
    for tool in TOOLS:
        (folder / tool).symlink_to(shutil.which(tool) or pytest.fail(f"{tool} is missing on this machine"))
    if python is not None:
        write(folder / "python3", python)
    return str(folder)


def write(command: Path, text: str) -> Path:
    command.parent.mkdir(parents=True, exist_ok=True)
    command.write_text(text)
    command.chmod(0o755)
    return command


def python_of(folder: Path, name: str, version: str) -> str:
    return str(write(folder / name, PYTHON_OF.format(version=version, executable=sys.executable)))


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
    assert "kgplug needs Python 3.11, 3.12, 3.13 or 3.14" in sentence
    assert f"found {found}" in sentence
    assert not (checkout / ".venv").exists()


@pytest.mark.parametrize(("minor", "suitable"), [(10, False), *((minor, True) for minor in range(11, 15)), (15, False)])
def test_python_3_11_to_3_14_is_suitable(checkout: Path, minor: int, suitable: bool) -> None:
    commands = path_with(checkout / "commands", python=None)
    python_of(checkout / "commands", "python3.12", "3.12.1")  # a Python that PYTHON names is the only candidate
    result = make(checkout, PATH=commands, PYTHON=python_of(checkout, "other", f"3.{minor}.0"))
    assert (f"Making .venv with Python 3.{minor}.0" in result.stdout) == suitable
    assert f"found Python 3.{minor}.0. Install one, or name it: make demo PYTHON=" in result.stderr
    assert "3.12.1" not in result.stdout


@pytest.mark.parametrize("minor", [11, 12, 13, 14])
def test_a_suitable_python_is_found_by_the_name_of_its_version(checkout: Path, minor: int) -> None:
    commands = path_with(checkout / "commands", python="#!/bin/sh\nexit 1\n")
    python_of(checkout / "commands", f"python3.{minor}", f"3.{minor}.0")
    assert f"Making .venv with Python 3.{minor}.0" in make(checkout, PATH=commands).stdout


def test_the_makefile_and_pyproject_accept_the_same_pythons() -> None:
    (probe,) = re.findall(r"\(3, (\d+)\) <= sys.version_info\[:2\] < \(3, (\d+)\)", (ROOT / "Makefile").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.{},<3.{}".format(*probe)


def environment(checkout: Path, **variables: str) -> list[str]:
    """Run make with an environment that has no packages; return what its Python was asked to do."""
    write(checkout / ".venv" / "bin" / "python", PYTHON_OF_VENV)
    (checkout / ".venv" / ".python").touch()
    commands = path_with(checkout / "commands", python=None)
    if "GPU" in variables:
        write(checkout / "commands" / "nvidia-smi", "#!/bin/sh\n")
    result = make(checkout, PATH=commands, **{"ANSWER": "0", "CONFIGURED": "global.cert=x", **variables})
    asked = (checkout / ".venv" / "asked").read_text().splitlines()
    return [line.partition("pip ")[2] for line in asked] + result.stderr.splitlines()[:1]


@NO_GPU
def test_without_a_gpu_torch_comes_from_the_index_without_cuda(checkout: Path) -> None:
    asked = environment(checkout)
    (torch,) = (
        number for number, line in enumerate(asked) if line.endswith(f"install --no-deps --index-url {PYTORCH} torch")
    )
    (rest,) = (number for number, line in enumerate(asked) if line.endswith("--editable ."))
    assert torch < rest


@pytest.mark.parametrize(
    "variables",
    [
        {"GPU": "1"},
        pytest.param({"ANSWER": "1"}, marks=NO_GPU),
        {"CONFIGURED": "global.index-url=https://mirror.example/simple"},
        {"CONFIGURED": ":env:.extra-index-url=https://mirror.example/simple"},
        {"TORCH_INDEX": ""},
    ],
    ids=["GPU", "no answer", "index", "extra index", "usual torch"],
)
def test_otherwise_torch_comes_with_the_other_packages(checkout: Path, variables: dict[str, str]) -> None:
    asked = environment(checkout, **variables)
    assert [line for line in asked if "install --no-deps" in line] == []
    assert any(line.endswith("--editable .") for line in asked)
    assert any("index versions" in line for line in asked) == ("ANSWER" in variables)


def test_an_index_of_torch_that_is_named_must_have_it(checkout: Path) -> None:
    *asked, sentence = environment(checkout, TORCH_INDEX="https://mirror.example/cu130", ANSWER="1", GPU="1")
    assert sentence.startswith(
        "https://mirror.example/cu130 did not answer, or has no torch for this Python. Check TORCH"
    )
    assert not any(line.endswith("--editable .") for line in asked)


@pytest.mark.parametrize(("version", "again"), [("3.12.1", False), ("3.13.0", True)])
def test_an_environment_with_another_python_than_the_one_named_is_made_again(
    checkout: Path, version: str, again: bool
) -> None:
    write(checkout / ".venv" / "bin" / "python", PYTHON_OF_VENV)
    (checkout / ".venv" / ".python").touch()
    result = make(checkout, PYTHON=python_of(checkout, "other", version), ANSWER="1")
    assert ("Making .venv with Python 3.13.0" in result.stdout) == again


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
    made = [line for line in lines if line.startswith("make")]
    assert [made[0], made[-1]] == ["make check", "make test"]
    assert len(made) == 3 and made[1].startswith("make test NEO4J=5.26 PYTEST_ARGS=")
    assert all((ROOT / word).is_file() for word in made[1].rstrip('"').split() if word.startswith("tests/"))
    assert lines[-1] == "make test"
    assert "set -euo pipefail" in lines
