"""Weighted sums of rows and their gradient: the same by any number of threads, and what torch makes of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from kgplug.recommenders.parts.entity_graph import by_entity
from kgplug.recommenders.parts.operations.weighted_sum import _SHARED_FROM, weighted_sum

pytestmark = pytest.mark.training

M, N, K, DIM = 500, 12_001, 4, 32


def summed(threads: int) -> tuple[torch.Tensor, ...]:
    """Return sums, and the gradients of rows and weights, by so many threads."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(M, DIM, generator=generator).requires_grad_()
    weights = torch.rand(N, K, generator=generator).requires_grad_()
    places = torch.randint(0, M, (N, K), generator=generator)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        sums = weighted_sum(rows, places, weights)
        (sums * torch.sin(sums.detach())).sum().backward()
    finally:
        torch.set_num_threads(before)
    expected = functional.embedding_bag(places, rows.detach(), per_sample_weights=weights.detach(), mode="sum")
    torch.testing.assert_close(sums, expected, atol=1e-5, rtol=1e-5)
    of_weights = (torch.sin(sums.detach())[:, None] * rows.detach()[places]).sum(2)
    torch.testing.assert_close(weights.grad, of_weights, atol=1e-4, rtol=1e-5)
    of_rows = torch.zeros(M, DIM).index_add_(
        0, places.reshape(-1), (weights.detach()[..., None] * torch.sin(sums.detach())[:, None]).reshape(-1, DIM)
    )
    torch.testing.assert_close(rows.grad, of_rows, atol=1e-4, rtol=1e-5)
    return sums.detach(), rows.grad, weights.grad  # type: ignore[return-value]


@pytest.mark.parametrize("threads", [2, 3])
def test_any_number_of_threads_gives_the_same(threads: int) -> None:
    assert N * K * DIM > _SHARED_FROM  # so that threads have shares
    for one, other in zip(summed(1), summed(threads), strict=True):
        assert torch.equal(one, other)


def test_no_pair_is_no_sum() -> None:
    nothing = weighted_sum(torch.ones(2, 3), torch.empty(0, 4, dtype=torch.int64), torch.empty(0, 4))
    assert nothing.shape == (0, 3)


def test_edges_come_by_entity_and_then_by_key_equal_ones_as_they_stood() -> None:
    rng = np.random.default_rng(0)
    entities, keys = rng.integers(0, 40, 2_000), rng.integers(0, 30, 2_000).astype(np.float32) / 30
    assert np.array_equal(by_entity(entities, keys), np.lexsort((keys, entities)))
    entities = entities + (2**29 - 40)  # as many as keys leave room for
    keys = rng.random(2_000, dtype=np.float32)
    assert np.array_equal(by_entity(entities, keys), np.lexsort((keys, entities)))
