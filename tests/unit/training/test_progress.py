"""How long work reports its progress: bars on a terminal, otherwise a few lines or JSON."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import kgplug
from kgplug import progress
from tests.unit.helpers.printed import printed
from tests.unit.helpers.strictly import strictly


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a second be a hundredth."""
    monkeypatch.setattr(progress, "START_AFTER_S", 0.02)
    monkeypatch.setattr(progress, "EVERY_S", 0.3)
    monkeypatch.setattr(progress, "_style", "lines")
    return None


def work(steps: int, seconds: float, **options: object) -> None:
    with progress.bar(steps, what="Training MKR", unit="epoch", progress=None, **options) as bar:  # type: ignore[arg-type]
        for number in range(steps):
            time.sleep(seconds)
            bar.show({"loss": f"{1 / (number + 1):.4f}"})
            bar.update()


def test_without_a_terminal_lines_report_the_start_and_the_progress(capsys: pytest.CaptureFixture[str]) -> None:
    work(5, 0.4)
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert captured.out == ""
    assert lines[0] == "Training MKR: 0 of 5 epochs"
    assert re.fullmatch(r"Training MKR: 1 of 5 epochs, loss 1\.0000, about \d+ s left", lines[1])
    assert len(lines) == 1 + 5 + 1 and re.search(r"5 of 5 epochs, loss 0.2000, ended after \d+ s", lines[-1])


def test_many_short_steps_print_only_a_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    work(200, 0.005)
    assert 3 <= len(capsys.readouterr().err.splitlines()) <= 7


def test_short_work_prints_nothing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "START_AFTER_S", 5)
    work(3, 0.001)
    assert capsys.readouterr().err == ""


def test_resumed_work_continues_its_count(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.bar(10, what="Training MKR", unit="epoch", progress=None, initial=7):
        time.sleep(0.1)
    assert capsys.readouterr().err == "Training MKR: 7 of 10 epochs\n"


@pytest.mark.parametrize("style", ["bars", "quiet"])
def test_a_library_and_a_quiet_command_are_silent(
    style: progress.Style, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_style", style)
    work(2, 0.35)
    assert capsys.readouterr().err == ""


def test_progress_false_is_silent_and_true_is_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    for wanted in (False, True):
        with progress.bar(2, what="Reading", unit="rel", progress=wanted) as bar:
            time.sleep(0.1)
            bar.update(2)
        assert ("Reading: 100%" in capsys.readouterr().err) == wanted


def test_json_lines_parse_strictly(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_style", "json")
    work(2, 0.4)
    progress.message("a note")
    records = [strictly(line) for line in capsys.readouterr().err.splitlines()]
    assert [record["event"] for record in records] == ["start", "progress", "progress", "end", "message"]
    assert {"what": "Training MKR", "n": 1, "of": 2, "unit": "epoch", "loss": 1.0}.items() <= records[1].items()
    assert records[1]["left_s"] is not None and records[1]["elapsed_s"] >= 0.4


def test_work_without_a_count_reports_that_it_is_still_running(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.stage("Training EASE", progress=None):
        time.sleep(0.8)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Training EASE …" and re.fullmatch(r"Training EASE: \d+ s so far", lines[1])
    assert lines[-1].startswith("Training EASE: ended after")


def test_counted_work_reports_for_the_stage_around_it(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.stage("Training MKR as a whole", progress=None):
        work(1, 0.1)
    assert "as a whole" not in capsys.readouterr().err


def test_a_bar_is_shown_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    work(2, 0.05)
    assert "100%" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["before", "behind"])
@pytest.mark.parametrize("option", ["--quiet", "--log-json"])
def test_every_command_takes_the_options(
    option: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KGPLUG_HOME", str(tmp_path))
    words = [option, "db", "status"] if place == "before" else ["db", "status", option]
    assert printed(*words).code == 1  # it does not run
    refused = printed(*[option, "publish", "MKR"] if place == "before" else ["publish", "MKR", option])
    assert refused.code == 2
    if option == "--log-json":
        assert strictly(refused.err)["event"] == "error"
    else:
        assert refused.err.startswith("Error: ")


def test_no_module_makes_its_own_bars() -> None:
    root = Path(kgplug.__file__).parent
    users = {path.name for path in root.rglob("*.py") if re.search(r"^\s*(from|import) tqdm", path.read_text(), re.M)}
    assert users == {"progress.py"}
