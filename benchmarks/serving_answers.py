"""Check the answers that readers got while a model was published, and measure how long they took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

K = 10  # length of a list

RIGHT, EMPTY, MIXED, WRONG, STALE, FAILED = "right", "empty", "mixed", "wrong", "stale", "failed"
FAULTS = (EMPTY, MIXED, WRONG, STALE, FAILED)


class Answer(NamedTuple):
    """The answer to one request.

    Attributes:
        due, began, done: Times at which the request should have been sent, was sent, and was answered, in seconds of
            the monotonic clock.
        run: Id of the run that the list is from; "" if there is none.
        verdict: "right", or one of `FAULTS`.
    """

    due: float
    began: float
    done: float
    run: str
    verdict: str


class Change(NamedTuple):
    """A publish or rollback, after which another run serves.

    Attributes:
        began, done: The run began to serve between these times, in seconds of the monotonic clock.
        run: Id of the run.
    """

    began: float
    done: float
    run: str


@dataclass(frozen=True)
class Served:
    """Summary of the answers in one span of time.

    Attributes:
        span: Name of the span.
        seconds: Length of the span.
        requests: Number of requests that were due in the span.
        p50_ms, p95_ms, p99_ms, max_ms: Percentiles and maximum of the time from when a request was due to its answer.
        faults: Verdict → number of answers.
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
    """Return the run of an answer, and the verdict.

    Args:
        rows: The rows of the query `recommend`, in its order: rank, id, run.
        expected: Function from a run's id to the keys of this user's items, best first.
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
    """Return the ids of the runs that may have served at some time between two times.

    Args:
        changes: All changes, in their order.
        began, done: The two times, in seconds of the monotonic clock.
    """
    # A run may have served from the beginning of its change to the end of the next change.
    ends = [change.done for change in changes[1:]] + [float("inf")]
    return {change.run for change, end in zip(changes, ends, strict=True) if change.began <= done and end >= began}


def with_stale(answers: Iterable[Answer], changes: Sequence[Change]) -> list[Answer]:
    """Return the answers, with the verdict "stale" for right lists of a run that did not serve at the time."""
    return [
        answer._replace(verdict=STALE)
        if answer.verdict == RIGHT and answer.run not in could_serve(changes, answer.began, answer.done)
        else answer
        for answer in answers
    ]


def summarise(span: str, answers: Iterable[Answer], began: float, done: float) -> Served:
    """Return the summary of the requests that were due between two times; all numbers are 0 if there are none."""
    chosen = [answer for answer in answers if began <= answer.due < done]
    late_ms = [1000 * (answer.done - answer.due) for answer in chosen] or [0.0]
    # With method "higher", the result is a measured latency, not a mean of two.
    p50, p95, p99, most = np.percentile(late_ms, [50, 95, 99, 100], method="higher").tolist()
    verdicts = Counter(answer.verdict for answer in chosen)
    faults = {verdict: verdicts[verdict] for verdict in FAULTS}
    return Served(span, done - began, len(chosen), p50, p95, p99, most, faults)


def growth(sizes: Sequence[float], first: int = 3) -> float:
    """Return the relative growth from the size number `first`, counted from 1, to the last size: 0.1 is 10 % more."""
    return sizes[-1] / sizes[first - 1] - 1
