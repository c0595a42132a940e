"""An audit without a network: pip-audit itself finds what the records on disk report."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import offline_audit

RECORD = """
id: PYSEC-2020-1
details: Planted.
affected:
- package: {{name: Odd_Name, ecosystem: PyPI}}
  ranges:
  - type: GIT
    events: [{{introduced: "0"}}]
  - type: ECOSYSTEM
    events: {events}
  versions: {versions}
modified: "2020-01-02T03:04:05Z"
published: "2020-01-02T03:04:05Z"
"""


def write(folder: Path, events: str, versions: str = "[]") -> Path:
    path = folder / "vulns" / "odd-name" / "PYSEC-2020-1.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(RECORD.format(events=events, versions=versions))
    return folder


@pytest.mark.parametrize(
    ("events", "versions", "vulnerable", "sound"),
    [
        ('[{introduced: "0"}, {fixed: "1.10"}]', "[]", ["0.1", "1.9", "1.10rc1"], ["1.10", "2.0"]),
        ('[{introduced: "1.2"}, {last_affected: "1.10"}]', "[]", ["1.2", "1.10"], ["1.1", "1.10.1"]),
        ('[{fixed: "1.1"}, {introduced: "0"}, {introduced: "2"}]', "[]", ["1.0", "2.0", "3"], ["1.1", "1.9"]),
        ("[]", "[1.10, 1.2]", ["1.10", "1.2"], ["1.1"]),
    ],
)
def test_a_record_applies_to_the_versions_that_osv_lists(
    tmp_path: Path, events: str, versions: str, vulnerable: list[str], sound: list[str]
) -> None:
    (record,) = offline_audit.read_advisories(write(tmp_path, events, versions))["odd-name"]
    asked = {version: offline_audit.concerns(record, "odd-name", version) for version in (*vulnerable, *sound)}
    assert asked == dict.fromkeys(vulnerable, True) | dict.fromkeys(sound, False)
    assert not offline_audit.concerns(record, "another", vulnerable[0])


@pytest.mark.slow
def test_pip_audit_reports_a_planted_record_and_fails(tmp_path: Path) -> None:
    write(tmp_path, '[{introduced: "0"}, {fixed: "1.10"}]')
    results = []
    for version in ("1.9", "1.10"):
        packages = tmp_path / "packages.txt"
        packages.write_text(f"Odd.Name=={version}\nnumpy==2.0.0\n")
        command = [sys.executable, offline_audit.__file__, str(tmp_path), str(packages)]
        results.append(subprocess.run(command, capture_output=True, text=True, timeout=120))
    vulnerable, sound = results
    assert vulnerable.returncode == 1 and "PYSEC-2020-1" in vulnerable.stdout
    assert sound.returncode == 0 and "No known vulnerabilities found" in sound.stderr


def test_a_folder_without_records_is_not_a_clean_audit(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="holds no vulns"):
        offline_audit.read_advisories(tmp_path)
