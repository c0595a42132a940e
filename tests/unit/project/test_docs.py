"""Code and tests that docs/ shows are run, or exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[2]
DOCS = TESTS.parent / "docs"


@pytest.mark.training
def test_the_proof_that_pykeens_transh_is_miswired_holds(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", (DOCS / "embeddings.md").read_text(encoding="utf-8"), re.DOTALL)
    (claimed,) = re.findall(r"# (paper .*)$", block, re.MULTILINE)
    exec(compile(block, "embeddings.md", "exec"), {})  # the proof itself
    assert capsys.readouterr().out.strip() == claimed


def test_every_fault_has_a_row_and_every_test_it_names_exists() -> None:
    page = (DOCS / "reliability.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \|.*\|(.*)\|$", page, re.MULTILINE)
    assert {int(number) for number, _ in rows} == set(range(1, 33))
    assert [number for number, proof in rows if "`test_" not in proof] == []
    files = [path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py")]
    defined = {name for text in files for name in re.findall(r"^def (test_\w+)\(", text, re.MULTILINE)}
    assert set(re.findall(r"`(test_\w+)`", page)) - defined == set()


@pytest.mark.training
def test_the_keys_that_the_readme_prints_are_those_of_the_list_where_it_is_shorter_than_k(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = (TESTS.parent / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    (block,) = (block for block in blocks if "cem" in block)
    exec(compile(block.replace("k=2", "k=3"), "README.md", "exec"), {})  # of three books cem has read one
    _, *rows = capsys.readouterr().out.splitlines()  # user, item, rank, score
    assert sorted(row.split()[2] for row in rows) == ["2", "3"]
