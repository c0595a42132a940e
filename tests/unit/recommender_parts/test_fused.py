"""Fused steps: values and gradients of the small operations that they stand for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from kgplug.recommenders.parts.operations import compiled_steps as fused
from kgplug.recommenders.parts.operations.compiled_steps import cross_compress, lookup_all, lookup_weights, pair_dots
from kgplug.training.row_adam import RowAdam

pytestmark = pytest.mark.training

DIM = 7


def drawn(*shapes: tuple[int, ...], seed: int = 0) -> list[torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return [torch.randn(*shape, generator=rng).requires_grad_() for shape in shapes]


def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the operations of torch, as a GPU does."""
    monkeypatch.setattr(fused, "on_cpu", lambda *_: False)


def same_with_gradients(monkeypatch: pytest.MonkeyPatch, outputs, leaves: list[torch.Tensor]) -> None:
    """Compare outputs and the gradients of a weighted sum of them between both ways."""
    results = []
    for _ in range(2):
        found = outputs()
        found = found if isinstance(found, tuple) else (found,)
        weights = drawn(*(part.shape for part in found), seed=9)
        total = sum((part * weight.detach()).sum() for part, weight in zip(found, weights, strict=True))
        results.append((*found, *torch.autograd.grad(total, leaves)))
        plain(monkeypatch)
    for compiled, torch_s in zip(*results, strict=True):
        torch.testing.assert_close(compiled, torch_s, atol=1e-5, rtol=1e-5)


def test_dots_of_pairs_and_their_gradients_are_torch_s(monkeypatch) -> None:
    left, right = drawn((4, DIM), (6, DIM))
    left_of, right_of = torch.tensor([0, 3, 3, 1, 0, 3]), torch.tensor([5, 5, 0, 2, 1, 5])
    expected = torch.stack([left[a] @ right[b] for a, b in zip(left_of, right_of, strict=True)])
    torch.testing.assert_close(pair_dots(left, left_of, right, right_of), expected)
    same_with_gradients(monkeypatch, lambda: pair_dots(left, left_of, right, right_of), [left, right])


def test_vectors_in_any_memory_layout_are_accepted() -> None:
    left, right = (part.T for part in drawn((DIM, 4), (DIM, 6)))
    of = torch.arange(4)
    torch.testing.assert_close(pair_dots(left, of, right, of), (left * right[:4]).sum(1))


def test_cross_and_compress_and_its_gradients_are_torch_s(monkeypatch) -> None:
    leaves = drawn((5, DIM), (5, DIM), (4, DIM), (2, DIM))
    same_with_gradients(monkeypatch, lambda: cross_compress(*leaves), leaves)


def test_a_side_of_a_cross_unit_that_nothing_reads_gets_no_gradient() -> None:
    leaves = drawn((5, DIM), (5, DIM), (4, DIM), (2, DIM))
    items, _ = cross_compress(*leaves)
    *_, to_weights, to_bias = torch.autograd.grad(items.sum(), leaves)
    assert not to_weights[2:].any() and not to_bias[1].any() and to_weights[:2].any()


@pytest.mark.parametrize("ascending", [True, False])
def test_rows_of_several_tables_and_their_penalty_have_the_gradients_of_single_look_ups(ascending: bool) -> None:
    tables = drawn((8, DIM), (5, 1))
    rows = [torch.tensor([1, 4, 7] if ascending else [4, 7, 1]), torch.tensor([0, 2])]
    places, n = [torch.tensor([0, 2, 2, 1]), torch.tensor([[1, 1], [0, 1]])], 4
    weights = [lookup_weights(place, len(of), n) for place, of in zip(places, rows, strict=True)]
    np.testing.assert_allclose(weights[1], [1 / 4, 3 / 4])
    (first, second), penalty = lookup_all(list(zip(tables, rows, weights, strict=True)))
    expected = [functional.embedding(of, table) for table, of in zip(tables, rows, strict=True)]
    squares = [part[place].square().sum() / n for part, place in zip(expected, places, strict=True)]
    assert torch.equal(first, expected[0]) and torch.equal(second, expected[1])
    torch.testing.assert_close(penalty, sum(squares))
    found = torch.autograd.grad(first.sin().sum() + 3 * second.sum() + 2 * penalty, tables)
    wanted = torch.autograd.grad(expected[0].sin().sum() + 3 * expected[1].sum() + 2 * sum(squares), tables)
    for gradient, dense in zip(found, wanted, strict=True):
        torch.testing.assert_close(gradient.to_dense(), dense)


def test_repeated_rows_of_a_gradient_take_one_step_with_their_sum() -> None:
    results = []
    for rows, values in (([3, 1, 3], [[1.0], [2.0], [4.0]]), ([1, 3], [[2.0], [5.0]])):
        table = torch.nn.Parameter(torch.zeros(5, 1))
        table.grad = torch.sparse_coo_tensor(torch.tensor([rows]), torch.tensor(values), (5, 1))
        RowAdam([table], lr=0.1).step()
        results.append(table.detach().clone())
    assert torch.equal(*results) and results[0][3] != 0
