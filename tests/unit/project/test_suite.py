"""The tests themselves: how they are divided, and what they may share."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]


def imported_modules(file: Path) -> list[str]:
    """Return the dotted names of all modules that a file may import, inside functions as well."""
    names = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names]
    return names


def test_no_test_imports_from_another_test_module() -> None:
    found = [
        f"{file.relative_to(TESTS)} imports {name}"
        for file in sorted(TESTS.rglob("*.py"))
        for name in imported_modules(file)
        if name.startswith(("tests", ".")) and any(part.startswith("test_") for part in name.split(".")[:4])
    ]
    assert found == [], "shared test code belongs into conftest.py or into a module next to it that holds no tests"


@pytest.mark.slow
def test_a_quick_test_that_imports_torch_fails_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "test_heavy.py").write_text("def test_it():\n    import torch\n")
    (tmp_path / "test_left_out.py").write_text("import pytest, torch\n\npytestmark = pytest.mark.training\n")
    options = ["--quick", "-q", "-p", "tests.conftest", "-c", TESTS.parent / "pyproject.toml", "--rootdir", tmp_path]
    command = [sys.executable, "-m", "pytest", *options, "-p", "no:cacheprovider", tmp_path]
    ran = subprocess.run(command, cwd=TESTS.parent, capture_output=True, text=True, check=False)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "Mark its file: pytestmark = pytest.mark.training" in ran.stdout and "1 failed in" in ran.stdout
