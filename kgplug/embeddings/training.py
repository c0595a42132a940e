"""Training on triples against corrupted triples (sLCWA), vectorised, for any PyKEEN model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from pykeen.models import ERModel
from pykeen.nn.representation import Embedding

from kgplug.embeddings.config import EmbeddingConfig
from kgplug.embeddings.translational import RanksAllEntities

SPARSE_FROM = 10  # entities for each row a step touches: from there on dense gradients cost more than sparse ones


def other_entities(true: np.ndarray, *, negatives: int, n_entities: int, rng: np.random.Generator) -> np.ndarray:
    """Draw entities that differ from the true ones, uniformly: int64 (b,) → int64 (b, negatives)."""
    drawn = rng.integers(0, n_entities - 1, size=(len(true), negatives))
    return drawn + (drawn >= true[:, None])


class Batch(NamedTuple):
    """True triples and what replaces one end of each: the tail in the first `n_tails` rows, the head in the others.

    Attributes:
        triples: int64 (b, 3).
        others: int64 (b, negatives).
    """

    triples: torch.Tensor
    others: torch.Tensor
    n_tails: int


class TripleTask:
    """What an embedding model gives the training loop.

    Args:
        module: on its device.
        positives: int64 (n, 3), the training triples, relations numbered as the module numbers them.
        measure: the validation figure, or None.
    """

    def __init__(
        self,
        module: ERModel,
        config: EmbeddingConfig,
        positives: np.ndarray,
        *,
        measure: Callable[[], float] | None,
    ) -> None:
        self.module: torch.nn.Module = module
        self.model, self.config, self.positives, self.measure = module, config, positives, measure
        shapes = [part.shape for part in module.relation_representations]
        self.matrices = any(len(shape) > 1 for shape in shapes) and not isinstance(module, RanksAllEntities)
        self.sparse = self._sparse_tables()
        by_id = {id(table._embeddings.weight) for table in self.sparse}
        dense = [p for p in module.parameters() if p.requires_grad and id(p) not in by_id]
        optimizers: list[torch.optim.Optimizer] = []
        if dense:
            optimizers.append(torch.optim.Adam(dense, lr=config.learning_rate, fused=True))
        if self.sparse:
            tables = [table._embeddings.weight for table in self.sparse]
            optimizers.append(torch.optim.SparseAdam(tables, lr=config.learning_rate))
        self.optimizers: Sequence[torch.optim.Optimizer] = optimizers

    def _sparse_tables(self) -> list[Embedding]:
        """Return the entity tables trained by sparse gradients: large ones that nothing touches as a whole."""
        module = self.model
        touched = self.config.batch_size * (2 + self.config.negatives)
        if len(module.weight_regularizers) or module.num_entities < SPARSE_FROM * touched:
            return []
        tables = [table for table in module.entity_representations if type(table) is Embedding]
        for table in tables:
            table._embeddings.sparse = True
        return tables

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterator[Batch]:  # noqa: ARG002
        """Yield the shuffled training triples with fresh corruptions; each end is as likely to be replaced."""
        order, size, device = rng.permutation(len(self.positives)), self.config.batch_size, self.model.device
        for start in range(0, len(order), size):
            triples = self.positives[order[start : start + size]]
            n_tails = int(rng.binomial(len(triples), 0.5))
            true = np.concatenate([triples[:n_tails, 2], triples[n_tails:, 0]])
            others = other_entities(true, negatives=self.config.negatives, n_entities=self.model.num_entities, rng=rng)
            yield Batch(torch.from_numpy(triples).to(device), torch.from_numpy(others).to(device), n_tails)

    def step(self, batch: Batch) -> torch.Tensor:
        """Do one optimisation step and return its loss, a detached scalar."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        true, corrupted = self._scores_by_row(batch) if self.matrices else self._scores_at_once(batch)
        loss = self.model.loss.process_slcwa_scores(
            positive_scores=true, negative_scores=corrupted, num_entities=self.model.num_entities
        )
        loss = loss + self.model.collect_regularization_term()
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.step()
        with torch.no_grad():
            self._constrain(batch)
        return loss.detach().reshape(())

    def _scores_at_once(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scores of true and corrupted triples, (b, 1) and (b, negatives), from one call."""
        triples, others, n_tails = batch
        corrupted = triples[:, None].repeat(1, others.shape[1], 1)  # (b, negatives, 3)
        corrupted[:n_tails, :, 2], corrupted[n_tails:, :, 0] = others[:n_tails], others[n_tails:]
        scores = self.model.score_hrt(torch.cat([triples, corrupted.view(-1, 3)]))
        return scores[: len(triples)], scores[len(triples) :].view_as(others)

    def _scores_by_row(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the same, fetching the matrix of a relation once a row instead of once a score."""
        triples, others, n_tails = batch
        corrupted = []
        if n_tails > 0:
            corrupted.append(self.model.score_t(triples[:n_tails, :2], tails=others[:n_tails]))
        if n_tails < len(triples):
            corrupted.append(self.model.score_h(triples[n_tails:, 1:], heads=others[n_tails:]))
        return self.model.score_hrt(triples), torch.cat(corrupted)

    def _constrain(self, batch: Batch) -> None:
        """Apply the model's constraints: to whole tables, or to the rows of the batch where a table is sparse."""
        constrainers = [table.constrainer for table in self.sparse]
        for table in self.sparse:
            table.constrainer = None
        self.model.post_parameter_update()
        touched = torch.cat([batch.triples[:, 0], batch.triples[:, 2], batch.others.flatten()])
        rows = touched.unique() if any(constrainers) else touched
        for table, constrainer in zip(self.sparse, constrainers, strict=True):
            table.constrainer = constrainer
            if constrainer is not None:
                values = constrainer(table._plain_forward(rows))
                values = torch.view_as_real(values) if table.is_complex else values
                table._embeddings.weight[rows] = values.reshape(len(rows), -1)

    def validate(self) -> float | None:
        """Return the validation figure, or None without validation triples."""
        return None if self.measure is None else self.measure()
