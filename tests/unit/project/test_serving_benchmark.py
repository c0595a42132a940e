"""The readers' benchmark: no bad answer passes, and a percentile is a latency that was measured."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "benchmarks"))
from serving_answers import (  # noqa: E402
    EMPTY,
    FAILED,
    MIXED,
    RIGHT,
    STALE,
    WRONG,
    Answer,
    Change,
    K,
    could_serve,
    growth,
    judge,
    summarise,
    with_stale,
)
from serving_readers import lists_of  # noqa: E402

ITEMS = {"a": list(range(K)), "b": list(range(100, 100 + K))}
CHANGES = [Change(0.0, 1.0, "a"), Change(10.0, 12.0, "b"), Change(20.0, 21.0, "a")]


def _rows(run: str) -> list[dict]:
    return [{"rank": rank, "id": item, "run": run} for rank, item in enumerate(ITEMS[run], start=1)]


def _answer(due: float = 0.0, *, took: float = 0.5, run: str = "a", verdict: str = RIGHT) -> Answer:
    return Answer(due, due, due + took, run, verdict)


def _judge(rows: list[dict]) -> tuple[str, str]:
    return judge(rows, lambda run: ITEMS[run])


def test_a_whole_list_of_one_run_is_right() -> None:
    assert _judge(_rows("b")) == ("b", RIGHT)


def test_no_rows_are_an_empty_answer() -> None:
    assert _judge([]) == ("", EMPTY)


def test_rows_of_two_runs_are_a_mixed_answer() -> None:
    assert _judge(_rows("a")[:5] + _rows("b")[5:]) == ("", MIXED)
    assert _judge(_rows("a") + _rows("b")) == ("", MIXED)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda rows: rows[:-1], id="one is missing"),
        pytest.param(lambda rows: [*rows, {"rank": 11, "id": 50, "run": "a"}], id="one too many"),
        pytest.param(lambda rows: [*rows, rows[-1]], id="one twice"),
        pytest.param(lambda rows: rows[::-1], id="not in order"),
        pytest.param(lambda rows: [{**rows[0], "id": 50}, *rows[1:]], id="another item"),
        pytest.param(lambda rows: [{**rows[0], "rank": 2}, *rows[1:]], id="a rank twice"),
        pytest.param(lambda rows: [{**row, "run": "b"} for row in rows], id="the items of another run"),
    ],
)
def test_what_is_not_exactly_the_list_of_its_run_is_wrong(change) -> None:
    assert _judge(change(_rows("a")))[1] == WRONG


@pytest.mark.parametrize(
    ("began", "done", "runs"),
    [
        (5.0, 6.0, {"a"}),
        (9.0, 10.5, {"a", "b"}),  # the pointer may have moved at any moment of the change
        (11.0, 11.5, {"a", "b"}),
        (13.0, 14.0, {"b"}),
        (13.0, 30.0, {"a", "b"}),
        (22.0, 30.0, {"a"}),
    ],
)
def test_a_run_could_serve_from_its_change_to_the_next(began: float, done: float, runs: set[str]) -> None:
    assert could_serve(CHANGES, began, done) == runs


def test_a_right_list_at_the_wrong_time_is_stale() -> None:
    early, late = _answer(5.0, run="b"), _answer(13.0, run="a")
    at_the_time, failed = _answer(5.0), _answer(5.0, run="", verdict=FAILED)
    verdicts = [answer.verdict for answer in with_stale([early, late, at_the_time, failed], CHANGES)]
    assert verdicts == [STALE, STALE, RIGHT, FAILED]


def test_a_latency_runs_from_the_moment_a_request_was_due() -> None:
    held_up = Answer(due=1.0, began=1.9, done=2.0, run="a", verdict=RIGHT)
    assert summarise("", [held_up], 0.0, 10.0).max_ms == pytest.approx(1000)


def test_percentiles_are_measured_latencies_of_the_span_alone() -> None:
    inside = [_answer(float(second), took=(second + 1) / 1000) for second in range(100)]  # 1 to 100 ms
    served = summarise("", [*inside, _answer(100.0, took=60.0)], 0.0, 100.0)
    assert served.requests == 100
    assert [served.p50_ms, served.p95_ms, served.p99_ms, served.max_ms] == pytest.approx([51, 96, 100, 100])


def test_every_fault_is_counted() -> None:
    served = summarise("", [_answer(verdict=verdict) for verdict in (RIGHT, EMPTY, MIXED, WRONG, WRONG)], 0.0, 1.0)
    assert served.faults == {EMPTY: 1, MIXED: 1, WRONG: 2, STALE: 0, FAILED: 0}


def test_a_span_without_requests_has_no_latency() -> None:
    assert summarise("", [], 0.0, 1.0).max_ms == 0


def test_growth_counts_from_the_third_publish_on() -> None:
    assert growth([1, 2, 10, 30, 11]) == pytest.approx(0.1)


def test_lists_follow_from_the_runs_id_and_no_item_comes_twice() -> None:
    items, scores = lists_of("run-1", np.arange(500), 40)
    assert items.shape == scores.shape == (500, K)
    assert all(len(set(row)) == K for row in items.tolist())
    assert (items >= 0).all() and (items < 40).all()
    assert (np.diff(scores, axis=1) < 0).all()
    np.testing.assert_array_equal(items[[7, 3]], lists_of("run-1", np.array([7, 3]), 40)[0])
    assert (items != lists_of("run-2", np.arange(500), 40)[0]).any(axis=1).mean() > 0.9
