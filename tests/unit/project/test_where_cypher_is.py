"""Cypher is written in `kgplug/graph/` and `cypher/` alone, and sent from there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import kgplug

PACKAGE = Path(kgplug.__file__).parent
CLAUSE = re.compile(r"(^|\s)(MATCH|OPTIONAL MATCH|UNWIND|MERGE|CALL|SHOW|RETURN) +[\[($:\w{]")
SENDS = {"rows", "frame", "system_rows", "write"}


def _modules() -> list[Path]:
    return [path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] != "graph"]


def _texts(path: Path) -> list[tuple[int, str]]:
    """Return the line and the value of each text of a module, docstrings left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
    ]


def test_the_rule_finds_existing_cypher():
    found = [text for _, text in _texts(PACKAGE / "graph" / "answering" / "lookups.py") if CLAUSE.search(text)]
    assert len(found) >= 5


def test_no_module_outside_graph_contains_cypher():
    found = [
        f"{path.relative_to(PACKAGE)}:{line}: {text.strip()[:60]}"
        for path in _modules()
        for line, text in _texts(path)
        if CLAUSE.search(text)
    ]
    assert found == []


def test_no_module_outside_graph_sends_a_query():
    found = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in _modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in SENDS
        and ast.unparse(node.func.value).endswith("connection")
    ]
    assert found == []
