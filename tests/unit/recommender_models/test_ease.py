"""EASE: its weights are the paper's closed form."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import psutil
import pytest
from scipy import sparse

from kgplug.data.interactions import Interactions
from kgplug.data.sources import movielens_100k
from kgplug.errors import TrainingError
from kgplug.recommenders.models import ease
from kgplug.recommenders.models.ease import EASE, _weights_in_place
from kgplug.recommenders.training_data import TrainingData
from kgplug.settings import Settings
from tests.unit.helpers.planted import directors_and_fans, popular, two_tastes, unseen_share

pytestmark = pytest.mark.training

SHAPE = (25, 11)


def likes(seed: int = 0) -> tuple[np.ndarray, Interactions]:
    """Return a table of likes whose item 4 nobody likes, and the same as interactions."""
    rng = np.random.default_rng(seed)
    table = (rng.random(SHAPE) < np.linspace(0.1, 0.6, SHAPE[1])).astype(int)
    table[:, 4] = 0
    return table, Interactions.from_arrays(*map(np.arange, SHAPE), *np.nonzero(table))


def literal_weights(x: np.ndarray, l2: float, user_power: float) -> np.ndarray:
    """Return B by eq. 8 of the paper, column after column; users weighted."""
    n_users, n_items = x.shape
    gram = l2 * np.eye(n_items)
    for u in range(n_users):
        gram += np.outer(x[u], x[u]) / max((x[u] > 0).sum(), 1) ** user_power
    p = np.linalg.inv(gram)
    b = np.zeros((n_items, n_items))
    for j in range(n_items):
        for i in range(n_items):
            b[i, j] = 0 if i == j else -p[i, j] / p[j, j]
    return b


@pytest.mark.parametrize("user_power", [0.0, 0.5])
@pytest.mark.parametrize("lapack_rows", [0, 1000])
def test_scores_equal_the_closed_form_in_blocks_of_any_size(user_power: float, lapack_rows: int, monkeypatch) -> None:
    table, interactions = likes()
    monkeypatch.setattr("kgplug.recommenders.models.ease._BLOCK_ROWS", 4)
    monkeypatch.setattr("kgplug.recommenders.parts.inverse._BLOCK_ROWS", 3)
    monkeypatch.setattr("kgplug.recommenders.parts.inverse._LAPACK_ROWS", lapack_rows)
    model = EASE(l2=3.0, user_power=user_power).fit(interactions)
    found = model.score(*np.indices(SHAPE).reshape(2, -1)).reshape(SHAPE)
    np.testing.assert_allclose(found, table @ literal_weights(table, 3.0, user_power), atol=1e-5)


def test_with_weights_a_like_is_the_root_of_its_confidence() -> None:
    table, plain = likes()
    weights = np.random.default_rng(1).lognormal(0, 2, len(plain))
    interactions = replace(plain, weights=weights.astype(np.float32))
    logs = [math.log(1 + weight / np.median(weights)) for weight in weights]
    x = np.zeros(SHAPE)
    for user, item, log in zip(plain.users, plain.items, logs, strict=True):
        x[user, item] = math.sqrt(log / (sum(logs) / len(logs)))
    model = EASE(l2=3.0).fit(interactions)
    found = model.score(*np.indices(SHAPE).reshape(2, -1)).reshape(SHAPE)
    np.testing.assert_allclose(found, x @ literal_weights(x, 3.0, 0.5), atol=1e-5)
    n_likes = np.maximum(table.sum(axis=1), 1)
    l2 = 500 * ((x**2).sum(axis=1) / n_likes**0.5).sum() / len(plain)
    assert EASE()._default("l2", TrainingData(interactions)) == pytest.approx(l2, rel=1e-3)


def test_the_column_of_an_item_solves_ridge_regression_on_the_other_items() -> None:
    table, interactions = likes(1)
    model = EASE(l2=2.0, user_power=0.0).fit(interactions)
    others = [i for i in range(SHAPE[1]) if i not in (4, 7)]
    x, y = table[:, others].astype(float), table[:, 7].astype(float)
    expected = np.linalg.solve(x.T @ x + 2.0 * np.eye(len(others)), x.T @ y)
    rows = np.searchsorted(model.known, others)
    np.testing.assert_allclose(model.weights[rows, np.searchsorted(model.known, 7)], expected, atol=1e-5)


def test_by_default_l2_is_500_times_the_mean_weight_of_a_like() -> None:
    table, interactions = likes()
    of_user = table.sum(axis=1)[np.nonzero(table)[0]]
    for power in (0.0, 0.5):
        chosen, given = EASE(user_power=power), EASE(user_power=power, l2=500 * float((of_user**-power).mean()))
        np.testing.assert_allclose(chosen.fit(interactions).weights, given.fit(interactions).weights, atol=1e-7)


def test_what_the_other_fan_likes_is_recommended() -> None:
    interactions, _, film_director, fan_of = directors_and_fans()
    assert unseen_share(EASE().fit(interactions), film_director, fan_of) > 0.3  # by chance: 0.05


def test_more_items_than_fit_into_memory_are_refused_beforehand(monkeypatch) -> None:
    _, interactions = likes()
    free = psutil.virtual_memory()._replace(available=1000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    with pytest.raises(TrainingError, match=r"EASE inverts a matrix of 10 × 10 items, which needs .* GB of memory"):
        EASE().fit(interactions)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 10, 11])
def test_weights_take_the_inverses_memory_or_the_first_half_of_it(n: int, dtype: type, monkeypatch) -> None:
    monkeypatch.setattr("kgplug.recommenders.models.ease._BLOCK_ROWS", 3)
    inverse = (np.random.default_rng(0).normal(size=(n, n)) + 5 * np.eye(n)).astype(dtype)
    expected = -inverse / inverse.diagonal()
    expected[np.diag_indices(n)] = 0
    weights = _weights_in_place(inverse)
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    assert weights.dtype == np.float32 and weights.flags.c_contiguous and weights.flags.writeable
    assert np.shares_memory(weights, inverse) and inverse.nbytes <= weights.nbytes + 4


def test_memory_that_ends_in_the_middle_is_one_sentence_with_what_is_needed(monkeypatch) -> None:
    def ended(*_: object) -> None:
        raise MemoryError("Unable to allocate 800. B for an array")

    monkeypatch.setattr("kgplug.recommenders.models.ease._gram", ended)
    with pytest.raises(TrainingError, match=r"EASE inverts a matrix of 10 × 10 items, which needs .* and less is free"):
        EASE().fit(likes()[1])


def test_a_matrix_that_cannot_be_inverted_is_one_sentence(monkeypatch) -> None:
    monkeypatch.setattr("kgplug.recommenders.models.ease.invert", lambda _: False)
    with pytest.raises(TrainingError, match=r"EASE cannot invert its matrix: l2 is too small"):
        EASE().fit(likes()[1])


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on the address space is Linux's")
def test_a_process_with_little_address_space_refuses_a_large_catalogue_before_it_takes_memory() -> None:
    code = (
        "import resource, numpy as np, psutil, kgplug\n"
        "from kgplug.errors import TrainingError\n"
        "from kgplug.recommenders.models.ease import EASE\n"
        "def rows(m):\n"
        "    return kgplug.Interactions.from_arrays(np.arange(9), np.arange(m), np.arange(m) % 9, np.arange(m))\n"
        "EASE().fit(rows(3))\n"
        "held = psutil.Process().memory_info().vms\n"
        "resource.setrlimit(resource.RLIMIT_AS, (held + 10**9, resource.RLIM_INFINITY))\n"
        "try:\n"
        "    EASE().fit(rows(17_000))\n"
        "except TrainingError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-500:]
    assert "EASE inverts a matrix of 17,000 × 17,000 items, which needs 1.3 GB of memory, and 1.0 GB are" in done.stdout


def popularity_skewed(n_users: int, n_items: int, seed: int = 0) -> Interactions:
    """Return random likes, 20 draws per user, of which most fall on a few items."""
    rng = np.random.default_rng(seed)
    weights = 1 / np.arange(1, n_items + 1) ** 0.8
    pairs = np.unique(
        np.repeat(np.arange(n_users), 20) * n_items + rng.choice(n_items, 20 * n_users, p=weights / weights.sum())
    )
    return Interactions.from_arrays(np.arange(n_users), np.arange(n_items), pairs // n_items, pairs % n_items)


def movielens() -> Interactions:
    """Return MovieLens-100K if `kgplug import` has downloaded it; otherwise skip the test."""
    downloads = Settings().downloads_dir.expanduser()
    if not (downloads / movielens_100k.WHEEL.file_name).exists():
        pytest.skip(f"MovieLens-100K is not in {downloads}")
    return movielens_100k.read_arrays(downloads)[0]


def lists_of_float64(model: EASE, interactions: Interactions) -> np.ndarray:
    """Return all users' top 10 if the weights come from a float64 inverse: items, int64 (n_users, 10)."""
    x = interactions.likes().matrix()[:, model.known].astype(np.float64)
    likes = np.diff(x.indptr)
    weights = sparse.diags(np.maximum(likes, 1.0) ** -model.config.user_power)
    gram = sparse.csr_matrix(x.T @ weights @ x).toarray()
    assert model.config.l2 is not None
    p = np.linalg.inv(gram + model.config.l2 * np.eye(len(gram)))
    wide = EASE(l2=model.config.l2, user_power=model.config.user_power).fit(interactions)
    wide.weights = (np.eye(len(p)) - p / p.diagonal()).astype(np.float32)
    return wide.recommend(np.arange(interactions.n_users), 10)[0]


@pytest.fixture
def inverted(monkeypatch) -> list[type]:
    """dtype of each matrix that EASE inverts. All are inverted by blocks."""
    monkeypatch.setattr("kgplug.recommenders.parts.inverse._LAPACK_ROWS", 10)
    monkeypatch.setattr("kgplug.recommenders.parts.inverse._BLOCK_ROWS", 128)
    dtypes: list[type] = []
    invert = ease.invert
    monkeypatch.setattr(ease, "invert", lambda matrix: dtypes.append(matrix.dtype.type) or invert(matrix))
    return dtypes


@pytest.mark.parametrize("l2", [10.0, 200.0])
@pytest.mark.parametrize("data", ["random", "popular", "tastes", "MovieLens-100K"])
def test_float32_gives_the_lists_of_float64(data: str, l2: float, inverted: list[type]) -> None:
    rows = {
        "random": lambda: popularity_skewed(6_000, 1_500), "popular": lambda: popular(0), "tastes": two_tastes,
        "MovieLens-100K": movielens,
    }  # fmt: skip
    interactions = rows[data]()
    model = EASE(l2=l2).fit(interactions)
    assert inverted == [np.float32]
    found = model.recommend(np.arange(interactions.n_users), 10)[0]
    np.testing.assert_array_equal(found, lists_of_float64(model, interactions))


def test_with_a_small_l2_float64_gives_its_lists(inverted: list[type]) -> None:
    interactions = movielens()
    model = EASE(l2=0.05).fit(interactions)
    assert inverted == [np.float32, np.float64]
    found = model.recommend(np.arange(interactions.n_users), 10)[0]
    np.testing.assert_array_equal(found, lists_of_float64(model, interactions))


def test_where_float32_would_change_scores_float64_is_taken(inverted: list[type], monkeypatch) -> None:
    monkeypatch.setattr("kgplug.recommenders.parts.inverse._BLOCK_ROWS", 16)
    rng = np.random.default_rng(0)
    basis = rng.random((400, 6)) < 0.3  # sixty items that are six times ten nearly equal ones
    table = np.repeat(basis, 10, axis=1) ^ (rng.random((400, 60)) < 0.005)
    interactions = Interactions.from_arrays(*map(np.arange, table.shape), *np.nonzero(table))
    model = EASE(l2=1e-4, user_power=0.0).fit(interactions)
    assert inverted == [np.float32, np.float64]
    np.testing.assert_allclose(model.weights, literal_weights(table.astype(int), 1e-4, 0.0), atol=1e-5)


def test_rounding_errors_of_users_with_few_likes_are_seen(inverted: list[type], monkeypatch) -> None:
    monkeypatch.setattr("kgplug.recommenders.parts.inverse._BLOCK_ROWS", 16)
    rng = np.random.default_rng(0)
    table = np.zeros((440, 210), dtype=int)
    basis = rng.random((400, 6)) < 0.3  # of 400 users, sixty items that are six times ten nearly equal ones
    table[:400, :60] = np.repeat(basis, 10, axis=1) ^ (rng.random((400, 60)) < 0.005)
    table[400:, 60:] = rng.random((40, 150)) < 0.6  # 40 users with more likes, of other items
    interactions = Interactions.from_arrays(*map(np.arange, table.shape), *np.nonzero(table))
    model = EASE(l2=1e-2, user_power=0.0).fit(interactions)
    assert inverted == [np.float32, np.float64]
    found = model.recommend(np.arange(440), 10)[0]
    np.testing.assert_array_equal(found, lists_of_float64(model, interactions))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can reset a process's peak of memory")
def test_the_peak_of_memory_is_the_one_that_is_announced() -> None:
    code = (
        "import pathlib\n"
        "from kgplug.recommenders.models import ease\n"
        "from tests.unit.recommender_models.test_ease import popularity_skewed\n"
        "def of_process(name):\n"
        "    lines = pathlib.Path('/proc/self/status').read_text().splitlines()\n"
        "    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))\n"
        "ease.EASE(l2=50.0).fit(popularity_skewed(20_000, 500))\n"  # what is imported only for larger matrices counts
        "likes = popularity_skewed(20_000, 7_000)\n"
        "pathlib.Path('/proc/self/clear_refs').write_text('5')\n"  # the peak starts from what the process now holds
        "before = of_process('VmRSS')\n"
        "m = len(ease.EASE(l2=50.0).fit(likes).known)\n"
        "print((of_process('VmHWM') - before) / m**2, ease._needed(m) / m**2)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-500:]
    measured, announced = map(float, done.stdout.split())  # bytes per cell
    assert 4 < measured < 1.03 * announced, done.stdout
    assert announced < 1.3 * measured, done.stdout
