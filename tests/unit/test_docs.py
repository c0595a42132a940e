"""What docs/ shows is run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
DOCS = TESTS.parent / "docs"


def test_the_proof_that_pykeens_transh_is_miswired_holds(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", (DOCS / "embeddings.md").read_text(encoding="utf-8"), re.DOTALL)
    (claimed,) = re.findall(r"# (paper .*)$", block, re.MULTILINE)
    exec(compile(block, "embeddings.md", "exec"), {})  # the proof itself
    assert capsys.readouterr().out.strip() == claimed


def test_every_fault_has_a_row_and_every_test_that_is_named_there_exists() -> None:
    page = (DOCS / "reliability.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \|.*\|(.*)\|$", page, re.MULTILINE)
    assert {int(number) for number, _ in rows} == set(range(1, 32))
    assert [number for number, proof in rows if "`test_" not in proof] == []
    files = [path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py")]
    defined = {name for text in files for name in re.findall(r"^def (test_\w+)\(", text, re.MULTILINE)}
    assert set(re.findall(r"`(test_\w+)`", page)) - defined == set()
