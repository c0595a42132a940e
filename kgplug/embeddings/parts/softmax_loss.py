"""Cross-entropy of queries over all entities, with its gradients, in blocks of queries."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch

BLOCK_FLOATS = 4_000_000  # scores held at a time: 16 MB, and twice as much for results of operations on them


class Targets(NamedTuple):
    """The entities that answer b queries, and how much each answer counts.

    Attributes:
        starts: int64 (b + 1,), the answers to query i are at positions starts[i] to starts[i + 1], on the CPU.
        rows: int64 (m,), the query of each answer, ascending.
        entities: int64 (m,), the answers.
        weights: float32 (m,), weight of each answer.
        totals: float32 (b,), sum of the weights of each query's answers.
    """

    starts: list[int]
    rows: torch.Tensor
    entities: torch.Tensor
    weights: torch.Tensor
    totals: torch.Tensor


def softmax_loss(
    queries: torch.Tensor,
    table: torch.Tensor,
    targets: Targets,
    *,
    by_distance: bool,
    temperature: float = 1.0,
    smoothing: float = 0.0,
    block_floats: int = BLOCK_FLOATS,
) -> torch.Tensor:
    """Return Σ over queries q and answers a of w_qa · −log softmax(scores of q)[a], a scalar.

    With label smoothing ε, an answer's target is (1 − ε) for itself and ε / n for each of the n entities. Gradients of
    `queries` and `table` are computed in the same pass, so no more than a block of scores is ever kept.

    Args:
        queries: float32 (b, d), vectors of the queries.
        table: float32 (n, d), vectors of the entities.
        targets: The answers.
        by_distance: Scores are negative Euclidean distances instead of scalar products.
        temperature: Scores are divided by this.
        smoothing: ε.
        block_floats: Maximum number of scores at a time, unless one query has more.
    """
    options = by_distance, temperature, smoothing, max(1, block_floats // len(table))
    return cast("torch.Tensor", _SoftmaxLoss.apply(queries, table, targets, *options))


class _SoftmaxLoss(torch.autograd.Function):
    """Computes `softmax_loss` and both gradients in the forward pass."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        queries: torch.Tensor,
        table: torch.Tensor,
        targets: Targets,
        by_distance: bool,
        temperature: float,
        smoothing: float,
        block: int,
    ) -> torch.Tensor:
        to_queries, to_table = torch.empty_like(queries), torch.zeros_like(table)
        loss = queries.new_zeros((), dtype=torch.float64)
        squares = table.square().sum(dim=1) if by_distance else None  # (n,)
        shares = table.new_zeros(len(table))
        scores, kept = (table.new_empty(min(block, len(queries)), len(table)) for _ in range(2))
        for start in range(0, len(queries), block):
            some = queries[start : start + block]
            own, other = scores[: len(some)], kept[: len(some)]
            _scores(some, table, squares, out=own)
            distances = own.clone() if by_distance else None
            own.div_(temperature)
            loss += _to_gradient(own, other, targets, start, smoothing)  # own: gradient of the loss, (rows, n)
            own.div_(temperature)
            if distances is None:
                torch.mm(own, table, out=to_queries[start : start + block])
                to_table.addmm_(own.T, some)
            else:  # the gradient of −‖q − e‖ with respect to q is −(q − e) / ‖q − e‖
                own.div_(distances).masked_fill_(distances == 0, 0)
                to_queries[start : start + block] = some * own.sum(dim=1, keepdim=True) - own @ table
                shares += own.sum(dim=0)
                to_table.addmm_(own.T, some, alpha=-1)
        if by_distance:
            to_table.addcmul_(table, shares[:, None])
        ctx.save_for_backward(to_queries, to_table)
        return loss.to(queries.dtype)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:  # type: ignore[override]
        to_queries, to_table = ctx.saved_tensors
        return to_queries.mul_(grad), to_table.mul_(grad), None, None, None, None, None


def _scores(queries: torch.Tensor, table: torch.Tensor, squares: torch.Tensor | None, *, out: torch.Tensor) -> None:
    """Write the scores of all entities to `out`, (b, n). `squares` are the squared lengths of the table's rows.

    If `squares` is None, scores are scalar products, otherwise negative distances.
    """
    torch.mm(queries, table.T, out=out)
    if squares is not None:
        out.mul_(-2).add_(squares).add_(queries.square().sum(dim=1, keepdim=True)).clamp_(min=0).sqrt_().neg_()


def _to_gradient(
    scores: torch.Tensor, logs: torch.Tensor, targets: Targets, start: int, smoothing: float
) -> torch.Tensor:
    """Turn the scores of a block of queries into the gradient of their loss, in place, and return the loss.

    Args:
        scores: float32 (b, n), overwritten.
        logs: float32 (b, n), overwritten with log-probabilities.
        targets: The answers of all queries.
        start: Position of the block's first query.
        smoothing: ε of `softmax_loss`.
    """
    n = scores.shape[1]
    torch._log_softmax(scores, 1, False, out=logs)  # pyright: ignore[reportPrivateImportUsage]
    found = slice(targets.starts[start], targets.starts[start + len(scores)])
    rows, entities, weights = targets.rows[found] - start, targets.entities[found], targets.weights[found]
    totals = targets.totals[start : start + len(scores)]
    loss = -(1 - smoothing) * (weights.double() @ logs[rows, entities].double())
    if smoothing:
        loss -= smoothing / n * (totals.double() @ logs.sum(dim=1).double())
    torch.exp(logs, out=scores)
    if smoothing:
        scores.sub_(smoothing / n)
    scores.mul_(totals[:, None])
    scores.index_put_((rows, entities), weights * (smoothing - 1), accumulate=True)
    return loss
