"""Shared blocks against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from kgplug.recommenders.parts.operations.layers import CrossCompress, distinct, lookup, row_penalty
from kgplug.training.row_adam import RowAdam

pytestmark = pytest.mark.training


@pytest.mark.parametrize("offset", [0.0, 1.0, 0.3])
def test_cross_and_compress_equals_the_paper_s_matrix_form_around_its_offset(offset):
    rng = torch.Generator().manual_seed(0)
    unit = CrossCompress(6, offset, rng)
    with torch.no_grad():
        unit.weights.normal_(generator=rng)
        unit.bias.normal_(generator=rng)
    w_vv, w_ev, w_ve, w_ee = unit.weights / (6 * offset) if offset else unit.weights
    items, entities = torch.randn(5, 6, generator=rng), torch.randn(5, 6, generator=rng)
    new_items, new_entities = unit(items, entities)
    for v, e, new_v, new_e in zip(items, entities, new_items, new_entities, strict=True):
        c = torch.outer(v + offset, e + offset)  # C = v eᵀ
        torch.testing.assert_close(new_v, c @ w_vv + c.T @ w_ev + unit.bias[0] - offset, atol=2e-5, rtol=1e-5)
        torch.testing.assert_close(new_e, c @ w_ve + c.T @ w_ee + unit.bias[1] - offset, atol=2e-5, rtol=1e-5)


def test_cross_and_compress_starts_as_a_linear_average_of_inputs_however_small():
    rng = torch.Generator().manual_seed(0)
    unit = CrossCompress(16, 1.0, rng)
    item, entity = 1e-4 * torch.randn(5, 16, generator=rng), 1e-4 * torch.randn(5, 16, generator=rng)
    mean = (item.mean(1, keepdim=True) + entity.mean(1, keepdim=True)) / 2
    for output in unit(item, entity):
        torch.testing.assert_close(output, (item + entity) / 2 + mean, atol=5e-7, rtol=0)


@given(st.lists(st.lists(st.integers(0, 400), min_size=1, max_size=12), min_size=1, max_size=3))
def test_distinct_rows_and_positions_reproduce_the_ids(ids):
    arrays = [np.array(part, dtype=np.int64) for part in ids]
    rows, places = distinct(*arrays)
    assert rows.tolist() == sorted({value for part in ids for value in part})
    for array, place in zip(arrays, places, strict=True):
        assert rows[place].tolist() == array.tolist()


def test_the_row_penalty_counts_a_row_once_per_lookup():
    rows = torch.tensor([[1.0, 2.0], [3.0, 0.0]])
    assert row_penalty(rows, torch.tensor([[0, 1], [1, 1]]), 4).item() == pytest.approx((5 + 3 * 9) / 4)


def test_row_adam_equals_adam_if_every_row_has_a_gradient():
    start = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    row_adam, adam = RowAdam([ours], lr=0.05), torch.optim.Adam([theirs], lr=0.05)
    for step in range(6):
        target = torch.full((4, 3), float(step))
        for parameter, optimizer, looked_up in (
            (ours, row_adam, lookup(ours, torch.arange(4))),
            (theirs, adam, functional.embedding(torch.arange(4), theirs)),
        ):
            parameter.grad = None
            (looked_up - target).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(ours, theirs)


def test_row_adam_leaves_other_rows_alone_and_treats_a_late_row_like_an_early_one():
    table = torch.nn.Parameter(torch.zeros(3, 2))
    optimizer = RowAdam([table], lr=0.1)
    moves = []
    for row in (0, 0, 0, 1):
        table.grad = None
        before = table.detach().clone()
        lookup(table, torch.tensor([row])).sum().backward()
        optimizer.step()
        moves.append((table.detach() - before)[row])
    torch.testing.assert_close(moves[0], moves[3])
    assert (table[2] == 0).all()
