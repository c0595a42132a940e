"""Work shared by threads: each part is done once, errors are raised, and idle helpers are not waited for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from scipy import sparse

from kgplug.data.ranking import threads
from kgplug.data.ranking.threads import share
from kgplug.recommenders.click_through.factors import Factors
from kgplug.recommenders.models.mf import MF

pytestmark = pytest.mark.training


@pytest.fixture(autouse=True)
def four_processors(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(threads, "processors", lambda: 4)
    threads._helpers.cache_clear()
    yield
    threads._helpers().shutdown()
    threads._helpers.cache_clear()


def test_every_part_is_done_once_and_by_several_threads() -> None:
    done, by = [], set()
    together = threading.Barrier(4, timeout=120)

    def work(part: int) -> None:
        if part < 4:
            together.wait()  # breaks unless four threads work at a time
        done.append(part)
        by.add(threading.get_ident())

    share(work, range(100))
    assert sorted(done) == list(range(100)) and len(by) == 4 and threading.get_ident() in by


def test_no_more_threads_than_were_asked_for() -> None:
    by = set()
    share(lambda _: by.add(threading.get_ident()) or time.sleep(0.001), range(50), threads=2)
    assert len(by) == 2
    by.clear()
    share(lambda _: by.add(threading.get_ident()), range(50), threads=1)
    assert by == {threading.get_ident()}


def test_nested_work_is_done_by_the_calling_thread() -> None:
    pairs = []

    def outer(_: int) -> None:
        own = threading.get_ident()
        share(lambda _: pairs.append((own, threading.get_ident())) or time.sleep(0.001), range(50))

    share(outer, range(2))  # so that two more threads have nothing to do
    assert len(pairs) == 100 and all(own == inner for own, inner in pairs)


@pytest.mark.parametrize("fails", [0, 1, 2, 3])
def test_an_error_in_any_thread_is_raised_and_no_further_part_starts(fails: int) -> None:
    together, begun = threading.Barrier(4, timeout=120), []

    def work(part: int) -> None:
        begun.append(part)
        if part < 4:
            together.wait()
        if part == fails:
            raise ZeroDivisionError(part)
        time.sleep(0.05)

    with pytest.raises(ZeroDivisionError):
        share(work, range(1000))
    assert len(begun) < 100
    done: list[int] = []
    share(done.append, range(10))  # and the threads are as good as before
    assert sorted(done) == list(range(10))


def test_helpers_that_are_busy_are_not_waited_for() -> None:
    held = threading.Event()
    busy = [threads._helpers().submit(held.wait, 60) for _ in range(3)]
    done: list[int] = []
    share(done.append, range(10))
    assert sorted(done) == list(range(10)) and not any(task.done() for task in busy)
    held.set()


def test_each_thread_enters_the_given_context() -> None:
    inside, together, entered = threading.local(), threading.Barrier(4, timeout=120), []

    @contextmanager
    def within() -> Iterator[None]:
        inside.here = True
        entered.append(threading.get_ident())
        yield
        inside.here = False

    def work(part: int) -> None:
        if part < 4:
            together.wait()
        assert inside.here

    share(work, range(20), within=within)
    assert len(set(entered)) == len(entered) == 4 and not inside.here


@pytest.fixture
def torch_threads() -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield 4
    torch.set_num_threads(before)


def test_lists_made_by_several_threads_are_those_of_all_scores_and_torch_keeps_its_threads(torch_threads: int) -> None:
    rng = np.random.default_rng(0)
    n_users, n_items = 1500, 900  # enough for threads to share
    model = MF()
    model.user_keys, model.item_keys = np.arange(n_users).astype(object), np.arange(n_items).astype(object)
    model.user_label = model.item_label = ""
    model.seen = model.liked = sparse.random(
        n_users, n_items, density=0.05, format="csr", random_state=0, dtype=np.float32
    )
    model.factors = Factors.without_bias(*(rng.standard_normal((n, 8)) / 2 for n in (n_users, n_items)))
    asked = rng.permutation(n_users)

    logits = (model.factors.users @ model.factors.items.T)[asked]
    logits[model.seen.toarray()[asked] > 0] = -np.inf
    expected = np.argsort(-logits, axis=1)[:, :10]
    with ThreadPoolExecutor(4) as pool:  # as a server does
        answers = [model.recommend(asked, 10), *pool.map(lambda _: model.recommend(asked, 10), range(8))]
    for items, scores in answers:
        assert (items == expected).mean() > 0.999  # but for rounding
        assert np.allclose(scores, 1 / (1 + np.exp(-np.take_along_axis(logits, expected, axis=1))), atol=1e-5)
    assert torch.get_num_threads() == torch_threads
