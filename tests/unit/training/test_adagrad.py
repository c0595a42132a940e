"""Adagrad is torch's, on whole tensors and on rows."""

from __future__ import annotations

import pytest
import torch

from kgplug.training.adagrad import Adagrad

pytestmark = pytest.mark.training


def gradients(step: int) -> torch.Tensor:
    return torch.randn(9, 4, generator=torch.Generator().manual_seed(step))


def test_its_steps_are_those_of_torch() -> None:
    ours, theirs = (torch.nn.Parameter(gradients(99)) for _ in range(2))
    mine, other = Adagrad([ours], lr=0.3), torch.optim.Adagrad([theirs], lr=0.3)
    for step in range(10):
        ours.grad, theirs.grad = gradients(step), gradients(step)
        mine.step()
        other.step()
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)


def test_a_step_on_some_rows_is_one_on_the_whole_table_whose_other_gradients_are_zero() -> None:
    by_row, whole = (torch.nn.Parameter(gradients(99)) for _ in range(2))
    one, other = Adagrad([by_row], lr=0.3), Adagrad([whole], lr=0.3)
    for step in range(10):
        rows = torch.nonzero(gradients(100 + step)[:, 0] > 0).flatten()
        grad = torch.zeros(9, 4)
        grad[rows] = gradients(step)[rows]
        whole.grad = grad
        other.step()
        assert torch.equal(one.take_rows(by_row, rows), by_row[rows])
        one.step_rows(by_row, rows, grad[rows])
        torch.testing.assert_close(by_row, whole, atol=1e-6, rtol=1e-6)


def test_it_resumes_from_its_state() -> None:
    whole, part = (torch.nn.Parameter(gradients(7)) for _ in range(2))
    alone, first, second = Adagrad([whole], lr=0.1), Adagrad([part], lr=0.1), Adagrad([part], lr=0.5)
    for step in range(6):
        whole.grad, part.grad = gradients(step), gradients(step)
        alone.step()
        if step == 3:
            second.load_state_dict(first.state_dict())
        (first if step < 3 else second).step()
    assert torch.equal(whole, part)
