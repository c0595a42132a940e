"""EASE: its weights are the paper's closed form."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import psutil
import pytest

from kgplug.data.interactions import Interactions
from kgplug.errors import TrainingError
from kgplug.recommenders.models.ease import EASE, _weights_in_place
from tests.unit.planted import directors_and_fans, unseen_share

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
        gram += np.outer(x[u], x[u]) / max(x[u].sum(), 1) ** user_power
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


@pytest.mark.parametrize("n", [1, 10, 11])
def test_weights_take_the_first_half_of_the_inverses_memory(n: int, monkeypatch) -> None:
    monkeypatch.setattr("kgplug.recommenders.models.ease._BLOCK_ROWS", 3)
    inverse = np.random.default_rng(0).normal(size=(n, n)) + 5 * np.eye(n)
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
        "    EASE().fit(rows(12_000))\n"
        "except TrainingError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-500:]
    assert "EASE inverts a matrix of 12,000 × 12,000 items, which needs 1.2 GB of memory, and 1.0 GB are" in done.stdout
