"""Training on triples against corrupted triples (sLCWA), vectorised, for any PyKEEN model."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from pykeen.models import ERModel
from pykeen.nn.representation import Embedding

from kgplug.embeddings.config import EmbeddingConfig

SPARSE_FROM = 10  # entities for each row a step touches: from there on dense gradients cost more than sparse ones


def corrupt(positives: np.ndarray, *, negatives: int, n_entities: int, rng: np.random.Generator) -> np.ndarray:
    """Draw corrupted triples: the head or the tail replaced by another entity, each equally likely.

    Args:
        positives: int64 (b, 3).
        negatives: for each positive.

    Returns:
        int64 (b · negatives, 3), those of one positive side by side.
    """
    triples = np.repeat(positives, negatives, axis=0)
    rows = np.arange(len(triples))
    column = 2 * rng.integers(0, 2, size=len(triples))
    drawn = rng.integers(0, n_entities - 1, size=len(triples))
    triples[rows, column] = drawn + (drawn >= triples[rows, column])  # any entity but the true one
    return triples


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
        self.module, self.config, self.positives, self.measure = module, config, positives, measure
        self.sparse = self._sparse_tables()
        by_id = {id(table._embeddings.weight) for table in self.sparse}
        dense = [p for p in module.parameters() if p.requires_grad and id(p) not in by_id]
        self.optimizers: list[torch.optim.Optimizer] = []
        if dense:
            self.optimizers.append(torch.optim.Adam(dense, lr=config.learning_rate, fused=True))
        if self.sparse:
            tables = [table._embeddings.weight for table in self.sparse]
            self.optimizers.append(torch.optim.SparseAdam(tables, lr=config.learning_rate))

    def _sparse_tables(self) -> list[Embedding]:
        """Return the entity tables trained by sparse gradients: large ones that nothing touches as a whole."""
        module = self.module
        touched = self.config.batch_size * (2 + self.config.negatives)
        if len(module.weight_regularizers) or module.num_entities < SPARSE_FROM * touched:
            return []
        tables = [table for table in module.entity_representations if type(table) is Embedding]
        for table in tables:
            table._embeddings.sparse = True
        return tables

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterator[torch.Tensor]:  # noqa: ARG002
        """Yield int64 (b · (1 + negatives), 3): b true triples, then the corrupted ones of each."""
        order, size = rng.permutation(len(self.positives)), self.config.batch_size
        device = self.module.device
        for start in range(0, len(order), size):
            positives = self.positives[order[start : start + size]]
            negatives = corrupt(
                positives, negatives=self.config.negatives, n_entities=self.module.num_entities, rng=rng
            )
            yield torch.from_numpy(np.concatenate([positives, negatives])).to(device)

    def step(self, batch: torch.Tensor) -> torch.Tensor:
        """Do one optimisation step and return its loss, a detached scalar."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        n = len(batch) // (1 + self.config.negatives)
        scores = self.module.score_hrt(batch)  # (n · (1 + negatives), 1)
        loss = self.module.loss.process_slcwa_scores(
            positive_scores=scores[:n],
            negative_scores=scores[n:].view(n, self.config.negatives),
            num_entities=self.module.num_entities,
        )
        loss = loss + self.module.collect_regularization_term()
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.step()
        with torch.no_grad():
            self._constrain(batch)
        return loss.detach().reshape(())

    def _constrain(self, batch: torch.Tensor) -> None:
        """Apply the model's constraints: to whole tables, or to the rows of the batch where a table is sparse."""
        constrainers = [table.constrainer for table in self.sparse]
        for table in self.sparse:
            table.constrainer = None
        self.module.post_parameter_update()
        rows = torch.cat([batch[:, 0], batch[:, 2]]).unique() if any(constrainers) else batch
        for table, constrainer in zip(self.sparse, constrainers, strict=True):
            table.constrainer = constrainer
            if constrainer is not None:
                values = constrainer(table._plain_forward(rows))
                values = torch.view_as_real(values) if table.is_complex else values
                table._embeddings.weight[rows] = values.reshape(len(rows), -1)

    def validate(self) -> float | None:
        """Return the validation figure, or None without validation triples."""
        return None if self.measure is None else self.measure()
