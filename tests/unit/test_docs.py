"""What docs/ shows is run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_proof_that_pykeens_transh_is_miswired_holds(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", (DOCS / "embeddings.md").read_text(encoding="utf-8"), re.DOTALL)
    (claimed,) = re.findall(r"# (paper .*)$", block, re.MULTILINE)
    exec(compile(block, "embeddings.md", "exec"), {})  # the proof itself
    assert capsys.readouterr().out.strip() == claimed
