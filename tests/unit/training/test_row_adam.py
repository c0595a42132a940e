"""Row-wise Adam: read by `take_rows`, it is Adam on the whole table."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kgplug.training import row_adam
from kgplug.training.row_adam import RowAdam

pytestmark = pytest.mark.training


@pytest.mark.parametrize("way", ["compiled", "tensors"])
def test_rows_read_and_stepped_are_those_of_adam_on_the_whole_table(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if way == "tensors":  # what a GPU takes, on the CPU
        monkeypatch.setattr(row_adam, "catch_up", lambda *_: pytest.fail("compiled"))

        def by_tensors(self: RowAdam, table: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
            return row_adam._catch_up_tensors(table.data, self._state_of(table), rows, self.settings)

        monkeypatch.setattr(RowAdam, "take_rows", by_tensors)
    rng, n, d = np.random.default_rng(0), 40, 5
    start = torch.from_numpy(rng.normal(size=(n, d)).astype(np.float32))
    ours, whole = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    by_row, adam = RowAdam([ours], lr=0.03), torch.optim.Adam([whole], lr=0.03)
    for step in range(400):
        often = rng.choice(20, 4, replace=False)  # some rows often, some seldom: gaps of one step to hundreds
        rows = torch.from_numpy(np.union1d(often, rng.choice(n - 1, 1)) if step % 90 == 0 else np.sort(often))
        gradients = torch.from_numpy(rng.normal(size=(len(rows), d)).astype(np.float32))
        values = by_row.take_rows(ours, rows)
        torch.testing.assert_close(values, whole.detach()[rows], atol=2e-4, rtol=1e-3)
        by_row.step_rows(ours, rows, gradients)
        whole.grad = torch.zeros_like(whole).index_copy_(0, rows, gradients)
        adam.step()
    everyone = by_row.take_rows(ours, torch.arange(n))
    torch.testing.assert_close(everyone, whole.detach(), atol=2e-4, rtol=1e-3)
    assert torch.equal(everyone, ours.detach()) and torch.equal(everyone[n - 1], start[n - 1])
    assert not torch.equal(everyone[:20], start[:20])


def test_to_read_rows_twice_changes_nothing() -> None:
    table = torch.nn.Parameter(torch.ones(6, 3))
    optimizer, rows = RowAdam([table], lr=0.1), torch.tensor([1, 4])
    optimizer.take_rows(table, rows)
    optimizer.step_rows(table, rows, torch.ones(2, 3))
    optimizer.step_rows(table, torch.tensor([0]), torch.ones(1, 3))
    first = optimizer.take_rows(table, rows).clone()
    assert torch.equal(optimizer.take_rows(table, rows), first) and (first < 0.9).all()
