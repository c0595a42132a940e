"""What readers were told while a model was published: is it right, and how long did it take?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

K = 10  # items of a list

RIGHT, EMPTY, MIXED, WRONG, STALE, FAILED = "right", "empty", "mixed", "wrong", "stale", "failed"
FAULTS = (EMPTY, MIXED, WRONG, STALE, FAILED)


class Answer(NamedTuple):
    """One request.

    Attributes:
        due, began, done: when it should have been sent, was sent, was answered; monotonic clock, in seconds.
        run: that the list is of; "" where there is none.
        verdict: "right", or what is the matter.
    """

    due: float
    began: float
    done: float
    run: str
    verdict: str


class Change(NamedTuple):
    """At some moment between two, by the monotonic clock in seconds, a run came to serve."""

    began: float
    done: float
    run: str


@dataclass(frozen=True)
class Served:
    """The answers of one span of time.

    Attributes:
        span: its name.
        seconds: its length.
        requests: due in it.
        p50_ms, p95_ms, p99_ms, max_ms: from the moment a request was due to its answer.
        faults: verdict → how many.
    """

    span: str
    seconds: float
    requests: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    faults: dict[str, int]


def judge(rows: Sequence[dict], expected: Callable[[str], Sequence[int]]) -> tuple[str, str]:
    """Return the run of an answer and what is to be said of it.

    Args:
        rows: what the recommend query returned, in its order: rank, id, run.
        expected: run → the keys of this user's items, best first.
    """
    if not rows:
        return "", EMPTY
    runs = {row["run"] for row in rows}
    if len(runs) > 1:
        return "", MIXED
    (run,) = runs
    wanted = list(enumerate(expected(run), start=1))
    assert len(wanted) == K
    return run, RIGHT if [(row["rank"], row["id"]) for row in rows] == wanted else WRONG


def could_serve(changes: Sequence[Change], began: float, done: float) -> set[str]:
    """Return the runs of which one served at some moment between two.

    Args:
        changes: in their order.
        began, done: by the monotonic clock, in seconds.
    """
    # A run may have served from the beginning of its change to the end of the next one's.
    ends = [change.done for change in changes[1:]] + [float("inf")]
    return {change.run for change, end in zip(changes, ends, strict=True) if change.began <= done and end >= began}


def with_stale(answers: Iterable[Answer], changes: Sequence[Change]) -> list[Answer]:
    """Return answers, those marked that are right lists of a run which did not serve at the time."""
    return [
        answer._replace(verdict=STALE)
        if answer.verdict == RIGHT and answer.run not in could_serve(changes, answer.began, answer.done)
        else answer
        for answer in answers
    ]


def summarise(span: str, answers: Iterable[Answer], began: float, done: float) -> Served:
    """Return the figures of the requests that were due between two moments; all 0 where none was."""
    chosen = [answer for answer in answers if began <= answer.due < done]
    late_ms = [1000 * (answer.done - answer.due) for answer in chosen] or [0.0]
    # method "higher": a latency that was measured
    p50, p95, p99, most = np.percentile(late_ms, [50, 95, 99, 100], method="higher").tolist()
    verdicts = Counter(answer.verdict for answer in chosen)
    faults = {verdict: verdicts[verdict] for verdict in FAULTS}
    return Served(span, done - began, len(chosen), p50, p95, p99, most, faults)


def growth(sizes: Sequence[float], first: int = 3) -> float:
    """Return by what share the last of some sizes exceeds the first-th: 0.1 is a tenth more."""
    return sizes[-1] / sizes[first - 1] - 1
