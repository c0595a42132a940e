"""Two parts of benchmarks/recommenders.py: top-10 lists from a whole catalogue, and CKCF's neighbour matrices."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
import timeit
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy import sparse

from kgplug.data.interactions import Interactions
from kgplug.data.sources import movielens_100k
from kgplug.recommenders.click_through.factors import FactorRecommender, Factors
from kgplug.recommenders.models.bpr import BPR
from kgplug.recommenders.models.mf import MF
from kgplug.recommenders.parts.two_neighbourhoods import co_occurrence, nearest_vectors
from kgplug.settings import Settings

K, DIMENSIONS, TURNS = 10, 64, 5
BOOKS, READERS, LIKES = 15_000, 17_860, 70_000  # as many as in Book-Crossing with its graph
GOAL, PAUSE_S = 2.0, 0.05
BLOCK_CELLS = 2_000_000, 4_000_000, 16_000_000  # scores per block of the bare products; the quickest size counts


def lists(*, quick: bool) -> list[dict]:
    """Time top-10 lists of all users, and compare with the quickest bare matrix products: one row per data set."""
    return [*(_beside_products(name, model, 2 if quick else TURNS) for name, model in _models(quick=quick)), *_memory()]


def _beside_products(name: str, model: FactorRecommender, turns: int) -> dict:
    everybody = np.arange(len(model.user_keys))
    bare = [partial(_products, model.factors, cells, by_torch=way) for cells in BLOCK_CELLS for way in (False, True)]
    row: dict = {"lists": name}
    for how, seconds_of in (("", _repeated), ("rested ", _rested)):
        ours, products = _in_turns(partial(model.recommend, everybody, K), bare, turns, seconds_of)
        row |= {f"{how}ms": 1e3 * ours, f"{how}products ms": 1e3 * products, f"{how}times": ours / products}
    row["goal"] = GOAL
    print(
        f"  {name}: {row['ms']:.1f} ms, products alone {row['products ms']:.1f} ms: {row['times']:.2f} times "
        f"({row['rested times']:.2f} after a pause)",
        flush=True,
    )
    return row


def _in_turns(
    ours: Callable[[], object],
    bare: list[Callable[[], object]],
    turns: int,
    seconds_of: Callable[[Callable[[], object]], float],
) -> tuple[float, float]:
    """Return the median seconds of kgplug and of the quickest bare product, all measured in turns."""
    ours()  # compiles once
    taken = [[seconds_of(work) for work in (ours, *bare)] for _ in range(turns)]
    first, *others = (statistics.median(column) for column in zip(*taken, strict=True))
    return first, min(others)


def _repeated(work: Callable[[], object]) -> float:
    """Return the mean seconds per call, over calls repeated for at least a fifth of a second, as `timeit` does."""
    number, seconds = timeit.Timer(work).autorange()
    return seconds / number


def _rested(work: Callable[[], object]) -> float:
    """Return the seconds of one call after a pause, in which all threads have gone to sleep."""
    time.sleep(PAUSE_S)
    return timeit.timeit(work, number=1)


def _models(*, quick: bool) -> list[tuple[str, FactorRecommender]]:
    rows, _ = movielens_100k.read_arrays(Settings().downloads_dir)
    mf = MF(epochs=2, embedding_dim=DIMENSIONS).fit(rows, progress=False)
    users = 20_000 if quick else 100_000
    return [
        ("MovieLens-100K, MF", mf),
        (f"{users:,} users × 20,000 items, MF", synthetic(users, 20_000, MF)),
        (f"{users:,} users × 20,000 items, BPR", synthetic(users, 20_000, BPR)),
    ]


def synthetic(n_users: int, n_items: int, kind: type[FactorRecommender]) -> FactorRecommender:
    """Return a model of random factors whose users have seen about 50 items each."""
    rng = np.random.default_rng(0)
    n = 50 * n_users
    seen = sparse.csr_matrix(
        (np.ones(n, dtype=np.float32), (rng.integers(n_users, size=n), rng.integers(n_items, size=n))),
        shape=(n_users, n_items),
    )  # fmt: skip
    model = kind(embedding_dim=DIMENSIONS)
    model.user_keys, model.item_keys = np.arange(n_users).astype(object), np.arange(n_items).astype(object)
    model.user_label = model.item_label = ""
    model.seen = model.liked = seen
    users, items = (rng.standard_normal((m, DIMENSIONS), dtype=np.float32) * 0.3 for m in (n_users, n_items))
    biases = (rng.standard_normal(m, dtype=np.float32) for m in (n_users, n_items))
    model.factors = Factors(users, items, *biases)
    return model


def _products(factors: Factors, cells: int, *, by_torch: bool) -> None:
    """Compute only the products of users and items, in blocks of at most `cells` scores, by numpy or by torch."""
    users, items = factors.users, factors.items
    if by_torch:
        users, items = torch.from_numpy(users), torch.from_numpy(items)
    rows = max(1, cells // len(items))
    for start in range(0, len(users), rows):
        users[start : start + rows] @ items.T


def _memory() -> list[dict]:
    """Return the memory that lists of few and of many users need beyond the model, each in a process of its own."""
    rows = []
    for users in (5_000, 20_000, 80_000):
        code = f"import catalogue; catalogue.memory_of_lists({users})"
        peak = _measured(code)
        rows.append({"lists": f"memory, {users:,} × 20,000", "MB": peak})
        print(f"  lists of {users:,} users of 20,000 items take {peak:.0f} MB beyond the model", flush=True)
    return rows


def memory_of_lists(n_users: int) -> None:
    """Print by how many MB making the lists of all users raises this process's largest resident set."""
    model = synthetic(n_users, 20_000, MF)
    model.recommend(np.arange(10), K)
    forget_peak()
    before = peak_mb()
    model.recommend(np.arange(n_users), K)
    print(peak_mb() - before)


def neighbour_matrices() -> list[dict]:
    """Measure time and memory of CKCF's two neighbour matrices, each in a process of its own."""
    rows = []
    for name in ("co-occurrence", "nearest vectors"):
        seconds, grown = (float(figure) for figure in _output(f"import catalogue; catalogue.one_matrix({name!r})"))
        dense = BOOKS * BOOKS * 4 / 2**20
        rows.append({"matrix": name, "s": seconds, "MB": grown, "dense MB": dense})
        print(
            f"  {name} of {BOOKS:,} books: {seconds:.2f} s, {grown:.0f} MB; a dense one has {dense:.0f} MB", flush=True
        )
    return rows


def one_matrix(name: str) -> None:
    """Print how many seconds a matrix takes, and by how many MB it raises this process's largest resident set."""
    rng = np.random.default_rng(0)
    popular = (1 / np.arange(1, BOOKS + 1)) ** 0.7
    items = rng.choice(BOOKS, size=LIKES, p=popular / popular.sum())
    likes = Interactions.from_arrays(
        np.arange(READERS).astype(object), np.arange(BOOKS).astype(object), rng.integers(READERS, size=LIKES), items
    ).matrix()
    vectors = rng.standard_normal((BOOKS, DIMENSIONS), dtype=np.float32)
    new = np.asarray(likes.sum(axis=0)).ravel() < 2
    does: dict[str, Callable[[int], object]] = {
        "co-occurrence": lambda n: co_occurrence(likes[:, :n], 20),
        "nearest vectors": lambda n: nearest_vectors(vectors[:n], 20, new=new[:n], cold_boost="printed"),
    }
    does[name](50)  # imports and compiles what the measured call needs
    forget_peak()
    before, began = peak_mb(), time.perf_counter()
    does[name](BOOKS)
    print(time.perf_counter() - began, peak_mb() - before)


def peak_mb() -> float:
    """Return the largest resident set of this process since its program began (`ru_maxrss` counts its parent's)."""
    line = next(row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def forget_peak() -> None:
    """Reset the process's largest resident set to its present size."""
    Path("/proc/self/clear_refs").write_text("5")


def _measured(code: str) -> float:
    return float(_output(code)[0])


def _output(code: str) -> list[str]:
    """Return the words that a fresh process prints."""
    here = Path(__file__).resolve().parent
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=here)
    return done.stdout.split()
