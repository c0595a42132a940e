"""The wheel contains everything the commands need, and declares every package they import."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # it would come first


@pytest.fixture(scope="module")
def installed_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A separate environment with the built wheel and nothing else of kgplug.

    The packages it depends on are lent by a path entry, so that the test does not download 3 GB.
    """
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, timeout=300)
    (wheel,) = folder.glob("kgplug-*.whl")
    venv.create(folder / "env", with_pip=False)
    python = folder / "env" / "bin" / "python"
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder / "env"), "platbase": str(folder / "env")}))
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, capture_output=True, timeout=120)
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def kgplug(python: Path, *arguments: str, cwd: Path) -> str:
    command = [str(python.parent / "kgplug"), *arguments]
    return subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=120, cwd=cwd, env=ENVIRONMENT
    ).stdout


def test_the_installed_wheel_is_the_one_that_runs(installed_python: Path, tmp_path: Path) -> None:
    code = "import kgplug; print(kgplug.__file__)"
    command = [installed_python, "-c", code]
    where = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path, env=ENVIRONMENT)
    assert str(installed_python.parents[1]) in where.stdout


def test_the_installed_wheel_prints_a_shipped_query(installed_python: Path, tmp_path: Path) -> None:
    assert kgplug(installed_python, "cypher", "recommend", cwd=tmp_path) == (
        (ROOT / "cypher" / "recommend.cypher").read_text() + "\n"
    )


def test_the_installed_wheel_lists_its_models(installed_python: Path, tmp_path: Path) -> None:
    listed = kgplug(installed_python, "models", "--json", cwd=tmp_path)
    assert all(f'"{name}"' in listed for name in ("MKR", "KGCN", "TransE", "Popularity", "ItemKNN"))


def test_the_installed_wheel_carries_the_pinned_jars_and_the_type_marker(installed_python: Path) -> None:
    (package,) = (installed_python.parents[1] / "lib").glob("python*/site-packages/kgplug")
    assert (package / "py.typed").exists()
    pins = next((package / "graph" / "server").glob("neo4j-*.jars.txt")).read_text()
    assert len(re.findall(r"\b[0-9a-f]{64}\b", pins)) > 200


def test_every_imported_package_is_a_declared_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    declared = {_name(text) for text in [*project["dependencies"], *optional["notebook"], *optional["fast"]]}
    by_module = packages_distributions()
    imported = {
        name.split(".")[0] for path in (ROOT / "kgplug").rglob("*.py") for name in _imports(ast.parse(path.read_text()))
    }
    undeclared = {
        module
        for module in imported - set(sys.stdlib_module_names) - {"kgplug"}
        if not declared & {_name(distribution) for distribution in by_module.get(module, [module])}
    }
    assert undeclared == set()


def _imports(tree: ast.AST) -> list[str]:
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.append(node.module)
    return names


def _name(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match is not None
    return re.sub(r"[-_.]+", "-", match[0]).lower()
