"""The page of faults names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")


def test_all_faults_stand_in_the_table_and_their_tests_in_the_files() -> None:
    rows = re.findall(r"^\| (\d+) \|.*$", PAGE, re.MULTILINE)
    assert [int(number) for number in rows] == list(range(1, 32))
    for line in PAGE.splitlines():
        assert not re.match(r"\| \d+ \|", line) or "::test_" in line, line
    named = re.findall(r"`(tests/\w+/\w+\.py)::(test_\w+)`", PAGE)
    assert len(named) > 31
    missing = [
        f"{file}::{name}" for file, name in named if f"\ndef {name}(" not in (ROOT / file).read_text(encoding="utf-8")
    ]
    assert missing == []
