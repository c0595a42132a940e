"""Training on true and corrupted triples (PyKEEN's sLCWA), vectorised, for any PyKEEN model.

A step fetches the vector of each entity in its batch once. The model scores with a small table of these vectors instead
of the whole table, so gradients, Adam and constraints touch only the rows of these entities. Graph networks, and models
with a penalty on whole tables (TransH, ConvKB), train on whole tables.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from pykeen.models import ERModel
from pykeen.nn.representation import Embedding
from pykeen.regularizers import Regularizer

from kgplug.data.ranking.auc import auc
from kgplug.embeddings.config import EmbeddingConfig
from kgplug.embeddings.parts.all_entities import ranks_of, scores_of
from kgplug.embeddings.parts.frozen import CarriedOver, Frozen
from kgplug.embeddings.parts.negatives import corrupter
from kgplug.embeddings.parts.translational import TransH, Translational, weight_of
from kgplug.embeddings.validation import LabelledTriples, Validation
from kgplug.errors import UsageError
from kgplug.training.adagrad import Adagrad
from kgplug.training.adam import Adam, Optimizer
from kgplug.training.row_adam import RowAdam, put_rows


class Batch(NamedTuple):
    """True triples and their corruptions.

    Attributes:
        triples: The true triples, int64 (b, 3).
        others: int64 (b, negatives), the entities that replace the tail in the first `n_tails` triples, and the head in
            all later triples.
        n_tails: Number of triples whose tail is replaced.
        rows: int64 (m,), the entities that occur in the batch, ascending; or None. If given, heads, tails and `others`
            are positions in `rows`; if None, they are entity indices.
    """

    triples: torch.Tensor
    others: torch.Tensor
    n_tails: int
    rows: torch.Tensor | None


class BatchLoss:
    """Function that computes a model's loss on a batch."""

    def __init__(self, model: ERModel[Any, Any, Any]) -> None:
        self.model = model
        self.regularised = is_regularised(model)
        shapes = [part.shape for part in model.relation_representations]
        self.matrices = any(len(shape) > 1 for shape in shapes)

    def __call__(self, batch: Batch) -> torch.Tensor:
        """Return the loss of a batch, a scalar, including the model's own penalty."""
        true, corrupted = self._scores(batch)
        loss = self.model.loss.process_slcwa_scores(
            positive_scores=true, negative_scores=corrupted, num_entities=self.model.num_entities
        )
        return loss + self.model.collect_regularization_term() if self.regularised else loss

    def _scores(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the scores of the true triples, (b, 1), and of their corruptions, (b, negatives)."""
        if isinstance(self.model, Translational):
            scores = self.model.score_batch(batch.triples, batch.others, batch.n_tails)  # (b, 1 + negatives)
            return scores[:, :1], scores[:, 1:].contiguous()  # PyKEEN's pointwise losses flatten them by `view`
        return self._scores_by_row(batch) if self.matrices else self._scores_at_once(batch)

    def _scores_at_once(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return true scores, (b, 1), and corrupted ones, (b, negatives), from one call of the model.

        If the model has a regulariser, there are two calls (true, then corrupted triples), as in PyKEEN, because each
        call adds to the penalty.
        """
        triples, others, n_tails, _ = batch
        corrupted = triples[:, None].repeat(1, others.shape[1], 1)  # (b, negatives, 3)
        corrupted[:n_tails, :, 2], corrupted[n_tails:, :, 0] = others[:n_tails], others[n_tails:]
        if self.regularised:
            return self.model.score_hrt(triples), self.model.score_hrt(corrupted.view(-1, 3)).view_as(others)
        scores = self.model.score_hrt(torch.cat([triples, corrupted.view(-1, 3)]))
        return scores[: len(triples)], scores[len(triples) :].view_as(others)

    def _scores_by_row(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return true scores, (b, 1), and corrupted ones, (b, negatives), from at most three calls of the model.

        A call fetches the matrix of a true triple's relation once, not once for each of its corruptions.
        """
        triples, others, n_tails, _ = batch
        corrupted = []
        if n_tails > 0:
            corrupted.append(self.model.score_t(triples[:n_tails, :2], tails=others[:n_tails]))
        if n_tails < len(triples):
            corrupted.append(self.model.score_h(triples[n_tails:, 1:], heads=others[n_tails:]))
        return self.model.score_hrt(triples), torch.cat(corrupted)


class TripleTask:
    """An embedding model as the training loop sees it: its batches, steps and validation metric.

    Args:
        module: The PyKEEN model, on the device to train on.
        config: The model's settings.
        positives: int64 (n, 3), the training triples. If the module has inverse relations, relation r of the graph is
            2r here, and its inverse is 2r + 1.
        validation: Triples to rank after each epoch, or labelled triples whose AUC is measured; None for no validation.
            Indices are those of the knowledge graph, without inverse relations.
        frozen: Rows of the module's tables that training leaves unchanged, or None to train all rows. If rows are
            frozen, all weights outside of the entity and relation tables also stay unchanged.

    Raises:
        UsageError: `frozen` leaves no triple to train on, or is given for a model whose penalty concerns whole tables.
    """

    def __init__(
        self,
        module: ERModel[Any, Any, Any],
        config: EmbeddingConfig,
        positives: np.ndarray,
        *,
        validation: Validation | LabelledTriples | None,
        frozen: CarriedOver | None = None,
    ) -> None:
        self.module: torch.nn.Module = module
        self.frozen = None if frozen is None else Frozen(module, frozen)
        if frozen is not None:
            positives = concerned(positives, frozen)
        self.model, self.config, self.positives, self.validation = module, config, positives, validation
        self.device = module.device  # kept, because PyKEEN searches all modules for it
        self.loss, self.corrupt = BatchLoss(module), corrupter(positives, config, n_entities=module.num_entities)
        whole = module.weight_regularizers or (isinstance(module, TransH) and frozen is None)
        self.tables = [] if whole else _plain_tables(module)
        if frozen is not None and not self.tables:
            raise UsageError(
                "This model's penalty concerns whole tables, so none of its rows can be kept. Omit --freeze."
            )
        weights = [table._embeddings.weight for table in self.tables]
        dense = [p for p in module.parameters() if p.requires_grad and not any(p is weight for weight in weights)]
        whole_tables, by_row = (Adam, RowAdam) if config.optimizer == "adam" else (Adagrad, Adagrad)
        self.dense = whole_tables(dense, lr=config.learning_rate) if dense else None
        self.by_row = by_row(weights, lr=config.learning_rate) if weights else None
        self.optimizers: Sequence[Optimizer] = [o for o in (self.dense, self.by_row) if o is not None]
        self.finishers = acting_parts(module, by_row=self.tables)
        self._used = np.zeros(module.num_entities, dtype=bool)
        self._position = np.empty(module.num_entities, dtype=np.int64)  # position of each entity in `Batch.rows`

    @property
    def step_floats(self) -> int:
        """Number of floats in the largest tensor of a step."""
        parts = [*self.model.entity_representations, *self.model.relation_representations]
        widest = max(int(np.prod(part.shape)) for part in parts)
        if isinstance(self.model, Translational):  # fetches a relation's matrix once for all its triples
            widest = self.config.embedding_dim
        return self.config.batch_size * (2 + self.config.negatives) * widest

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterator[Batch]:  # noqa: ARG002
        """Yield batches of shuffled training triples with new corruptions, of head or tail with equal probability."""
        order, size = rng.permutation(len(self.positives)), self.config.batch_size
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            n_tails = int(rng.binomial(len(chosen), 0.5))
            yield self._batch(self.positives[chosen], self.corrupt(chosen, n_tails, rng), n_tails)

    def _batch(self, triples: np.ndarray, others: np.ndarray, n_tails: int) -> Batch:
        rows = None
        if self.tables:
            used = np.concatenate([triples[:, 0], triples[:, 2], others.ravel()])
            self._used[used] = True
            found = np.flatnonzero(self._used)
            self._used[found] = False
            self._position[found] = np.arange(len(found))
            local, rows = self._position[used], torch.from_numpy(found).to(self.device)
            b = len(triples)
            triples = np.stack([local[:b], triples[:, 1], local[b : 2 * b]], axis=1)
            others = local[2 * b :].reshape(others.shape)
        at_hand, corrupt = (torch.from_numpy(array).to(self.device) for array in (triples, others))
        return Batch(at_hand, corrupt, n_tails, rows)

    def step(self, batch: Batch) -> torch.Tensor:
        """Do one optimisation step and return its loss, a detached scalar."""
        if self.dense is not None:
            self.dense.zero_grad()
        taken = [self._take_rows(table, batch.rows) for table in self.tables if batch.rows is not None]
        with _replaced(self.tables, taken) as replaced:
            loss = self.loss(batch)
            loss.backward()
        if self.dense is not None:
            self.dense.step()
        with torch.no_grad():
            for finish in self.finishers:
                finish()
            if self.frozen is not None:
                self.frozen.restore()
            for table, values in zip(self.tables, replaced, strict=True):
                self._step_rows(table, batch.rows, values.grad)
        return loss.detach().reshape(())

    def _step_rows(self, table: Embedding, rows: torch.Tensor | None, grad: torch.Tensor | None) -> None:
        """Do an optimisation step on some rows of a table, except frozen ones. Without rows or gradient, do nothing.

        Args:
            table: The table.
            rows: int64 (m,), the rows to update.
            grad: float32 (m, d), gradient of the loss with respect to these rows.
        """
        if rows is None or grad is None or self.by_row is None:
            return
        if self.frozen is not None:
            free = self.frozen.free_entities[rows]
            rows, grad = rows[free], grad[free]
        self.by_row.step_rows(weight_of(table), rows, grad)

    @torch.no_grad()
    def _take_rows(self, table: Embedding, rows: torch.Tensor) -> torch.Tensor:
        """Apply the updates that rows missed while no batch contained them (Adam), then the table's constraint.

        Args:
            table: The table.
            rows: int64 (m,), the rows to bring up to date.

        Returns:
            float32 (m, d), the new values of these rows.
        """
        assert self.by_row is not None
        weight = weight_of(table)
        values = self.by_row.take_rows(weight, rows)
        if table.constrainer is not None:
            shaped = values.view(len(values), *table.shape, *([2] if table.is_complex else []))
            kept = table.constrainer(torch.view_as_complex(shaped) if table.is_complex else shaped)
            kept = (torch.view_as_real(kept) if table.is_complex else kept).reshape(values.shape)
            if self.frozen is not None:
                kept = torch.where(self.frozen.free_entities[rows][:, None], kept, values)
            values = kept
            put_rows(weight, rows, values)
        return values

    def validate(self) -> float | None:
        """Bring all rows of the tables up to date (`_take_rows`), then score the validation triples.

        Returns:
            Their filtered mean reciprocal rank, or their AUC if they are labelled; None without validation triples.
        """
        all_rows = torch.arange(self.model.num_entities, device=self.device)
        for table in self.tables:
            self._take_rows(table, all_rows)
        return validation_metric(self.model, self.validation)


def concerned(triples: np.ndarray, frozen: CarriedOver) -> np.ndarray:
    """Return the triples, int64 (n, 3), that contain an entity or relation that is not frozen: int64 (m, 3).

    Raises:
        UsageError: There is none.
    """
    found = frozen.concerned(triples)
    if len(found) == 0:
        raise UsageError("There is nothing new to train: every triple is between known nodes. Omit --freeze.")
    return found


def validation_metric(model: ERModel[Any, Any, Any], validation: Validation | LabelledTriples | None) -> float | None:
    """Return the filtered mean reciprocal rank of validation triples, or their AUC if they are labelled.

    None without validation triples.
    """
    if validation is None:
        return None
    if isinstance(validation, LabelledTriples):
        return auc(validation.labels, scores_of(model, validation.triples))
    return float((1 / ranks_of(model, *validation)).mean())


def is_regularised(model: ERModel[Any, Any, Any]) -> bool:
    """Return whether a model has a penalty of its own."""
    own = type(model).collect_regularization_term is not ERModel.collect_regularization_term
    return own or any(isinstance(part, Regularizer) for part in model.modules())


def acting_parts(model: ERModel[Any, Any, Any], *, by_row: Sequence[Embedding] = ()) -> list[Callable[[], None]]:
    """Return the functions that constrain a model's tables, or clear a cache, after each step.

    Args:
        model: The model.
        by_row: Tables that are constrained in another way.
    """
    acting = (part for part in model.modules() if _acts_after_a_step(part) and part not in by_row)
    return [getattr(part, "post_parameter_update") for part in acting]  # noqa: B009


def _plain_tables(module: ERModel[Any, Any, Any]) -> list[Embedding]:
    """Return the entity tables whose rows can be updated singly: those of exactly PyKEEN's class `Embedding`."""
    return [table for table in module.entity_representations if type(table) is Embedding]


def _acts_after_a_step(part: torch.nn.Module) -> bool:
    """Return whether a part of a model constrains its whole table, or clears a cache, after each step."""
    at_rest = type(part) is Embedding and part.constrainer is None
    return hasattr(part, "post_parameter_update") and not isinstance(part, ERModel) and not at_rest


@contextmanager
def _replaced(tables: list[Embedding], rows: list[torch.Tensor]) -> Generator[list[torch.nn.Parameter]]:
    """Replace the weights of each table by its entry in `rows`, (m, d), for the duration of a `with` block.

    Yield the new weights, one parameter per table.
    """
    whole, replaced = [table._embeddings.weight for table in tables], [torch.nn.Parameter(part) for part in rows]
    try:
        for table, part in zip(tables, replaced, strict=True):
            table._embeddings.weight = part
        yield replaced
    finally:
        for table, weight in zip(tables, whole, strict=True):
            table._embeddings.weight = weight
