"""Training on queries: the answers to (h, r, ?) and (?, r, t) are compared with all entities by a softmax.

Equal queries are scored once; with training="1-vs-all", at most 32 answers at a time. Within a step of "1-vs-all", each
answer has the same weight (Lacroix et al., ICML 2018). Within a step of "kvsall", each query has the same weight, in
equal parts for its answers (Ruffinelli et al., ICLR 2020: KvsAll with the Kullback-Leibler loss). The loss of a step is
a mean, so weights differ slightly between steps with more and fewer answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from pykeen.models import ERModel
from torch.nn import functional

from kgplug.embeddings.config import EmbeddingConfig
from kgplug.embeddings.parts.frozen import CarriedOver, Frozen
from kgplug.embeddings.parts.queries import QueryForm, query_vectors, real_vectors, relation_rows
from kgplug.embeddings.parts.softmax_loss import BLOCK_FLOATS, Targets, softmax_loss
from kgplug.embeddings.training import acting_parts, concerned, is_regularised, validation_metric
from kgplug.embeddings.validation import LabelledTriples, Validation
from kgplug.training.adagrad import Adagrad
from kgplug.training.adam import Adam, Optimizer

MOST_ANSWERS = 32  # a query with more answers is split, so that no single one dominates a step of "1-vs-all"


class QueryBatch(NamedTuple):
    """Queries and their answers.

    Attributes:
        entities, codes: int64 (b,), known end and code (`parts.queries`) of each query.
        targets: Their answers.
    """

    entities: torch.Tensor
    codes: torch.Tensor
    targets: Targets


class Queries:
    """The distinct queries of training triples, with their answers.

    Args:
        triples: int64 (n, 3), the training triples.
        n_entities: Number of entities.
        most_answers: A query with more answers is split into several; None splits none.

    Attributes:
        entities, codes: int64 (q,), known end and code (`parts.queries`) of each query.
        starts: int64 (q + 1,), the answers to query i are answers[starts[i] : starts[i + 1]].
        answers: int64 (2n,).
    """

    def __init__(self, triples: np.ndarray, *, n_entities: int, most_answers: int | None) -> None:
        head, relation, tail = triples.T
        keys = np.concatenate([2 * relation, 2 * relation + 1]) * n_entities + np.concatenate([head, tail])
        answers = np.concatenate([tail, head])
        order = np.lexsort((answers, keys))
        keys, self.answers = keys[order], answers[order]
        first = np.flatnonzero(np.diff(keys, prepend=-1))  # first answer of each query
        if most_answers is not None:
            within = np.arange(len(keys)) - np.repeat(first, np.diff(first, append=len(keys)))
            first = np.flatnonzero(within % most_answers == 0)
        self.codes, self.entities = np.divmod(keys[first], n_entities)
        self.starts = np.append(first, len(keys))

    def __len__(self) -> int:
        return len(self.entities)

    def answers_of(self, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the answers to some queries, int64 (b,).

        Returns:
            (counts, answers): int64 (b,) and (m,), the number of answers to each query, and the answers in this order.
        """
        counts = self.starts[queries + 1] - self.starts[queries]
        ends = np.cumsum(counts)
        positions = np.arange(ends[-1]) + np.repeat(self.starts[queries] - (ends - counts), counts)
        return counts, self.answers[positions]


class QueryLoss:
    """Function that computes a model's loss on a batch of queries.

    Args:
        model: A model whose scores of all entities are one matrix product.
        form: Its `query_form`.
        config: The model's settings.
    """

    def __init__(self, model: ERModel[Any, Any, Any], form: QueryForm, config: EmbeddingConfig) -> None:
        self.model, self.form, self.config = model, form, config
        self.regularised = is_regularised(model)

    def __call__(self, batch: QueryBatch) -> torch.Tensor:
        """Return the mean loss of the answers, a scalar, including penalties."""
        entities, codes, targets = batch
        config, rows = self.config, relation_rows(self.model, codes)
        table: torch.Tensor = self.model.entity_representations[0]()  # (n, d)
        relations: torch.Tensor = self.model.relation_representations[0](rows)  # (b, d)
        known = _dropped(table[entities], config.entity_dropout)
        vectors = query_vectors(self.model, self.form, known, codes, _dropped(relations, config.relation_dropout))
        loss = softmax_loss(
            real_vectors(vectors),
            real_vectors(_dropped(table, config.entity_dropout)),
            targets,
            by_distance=self.form.by_distance,
            temperature=config.temperature,
            smoothing=config.label_smoothing,
        )
        if config.l2 or config.n3:
            weights = targets.totals.new_zeros(len(table)).index_add_(0, entities, targets.totals)
            weights.index_add_(0, targets.entities, targets.weights)
            used = torch.nonzero(weights).flatten()
            loss = loss + self._penalty(table[used], weights[used]) + self._penalty(relations, targets.totals)
        loss = loss / targets.totals.sum()
        return loss + self.model.collect_regularization_term() if self.regularised else loss

    def _penalty(self, vectors: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Return Σᵢ weightsᵢ (l2 Σⱼ |vᵢⱼ|² + n3 Σⱼ |vᵢⱼ|³) of vectors v, (m, d), real or complex: a scalar."""
        squares = torch.view_as_real(vectors).square().sum(dim=-1) if vectors.is_complex() else vectors.square()
        return weights @ (self.config.l2 * squares + self.config.n3 * squares.pow(1.5)).sum(dim=1)


class QueryTask:
    """An embedding model as the training loop sees it, trained on queries.

    Args:
        module: The PyKEEN model, on the device to train on.
        form: Its `query_form`.
        config: The model's settings.
        triples: int64 (n, 3), the training triples, in the knowledge graph's indices.
        validation: As in `TripleTask`.
        frozen: Rows of the module's tables that training leaves unchanged; None: all rows are trained.

    Raises:
        UsageError: `frozen` leaves no triple to train on.
    """

    def __init__(
        self,
        module: ERModel[Any, Any, Any],
        form: QueryForm,
        config: EmbeddingConfig,
        triples: np.ndarray,
        *,
        validation: Validation | LabelledTriples | None,
        frozen: CarriedOver | None = None,
    ) -> None:
        self.module: torch.nn.Module = module
        self.frozen = None if frozen is None else Frozen(module, frozen, whole_tables=True)
        if frozen is not None:
            relations = frozen.relations[::2] if module.use_inverse_triples else frozen.relations
            triples = concerned(triples, CarriedOver(frozen.entities, relations))
        self.model, self.config, self.validation, self.device = module, config, validation, module.device
        self.loss = QueryLoss(module, form, config)
        most_answers = MOST_ANSWERS if config.training == "1-vs-all" else None
        self.queries = Queries(triples, n_entities=module.num_entities, most_answers=most_answers)
        kind = {"adam": Adam, "adagrad": Adagrad}[config.optimizer]
        self.optimizer = kind([p for p in module.parameters() if p.requires_grad], lr=config.learning_rate)
        self.optimizers: Sequence[Optimizer] = [self.optimizer]
        self.finishers: list[Callable[[], None]] = acting_parts(module)

    @property
    def step_floats(self) -> int:
        """Number of floats in the largest tensor of a step."""
        rows = min(self.config.batch_size, max(1, BLOCK_FLOATS // self.model.num_entities))
        return self.model.num_entities * max(rows, self.config.embedding_dim)

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterator[QueryBatch]:  # noqa: ARG002
        """Yield batches of the shuffled queries."""
        order, size = rng.permutation(len(self.queries)), self.config.batch_size
        for start in range(0, len(order), size):
            yield self._batch(order[start : start + size])

    def _batch(self, queries: np.ndarray) -> QueryBatch:
        counts, answers = self.queries.answers_of(queries)
        each = np.ones(len(counts)) if self.config.training == "1-vs-all" else 1 / counts  # weight of an answer
        rows = np.repeat(np.arange(len(counts)), counts)
        arrays = (
            self.queries.entities[queries], self.queries.codes[queries], rows, answers,
            each[rows].astype(np.float32), (each * counts).astype(np.float32),
        )  # fmt: skip
        entities, codes, *found = (torch.from_numpy(array).to(self.device) for array in arrays)
        return QueryBatch(entities, codes, Targets([0, *np.cumsum(counts).tolist()], *found))

    def step(self, batch: QueryBatch) -> torch.Tensor:
        """Do one optimisation step and return its loss, a detached scalar."""
        self.optimizer.zero_grad()
        loss = self.loss(batch)
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            for finish in self.finishers:
                finish()
            if self.frozen is not None:
                self.frozen.restore()
        return loss.detach().reshape(())

    def validate(self) -> float | None:
        """Return the filtered mean reciprocal rank of the validation triples, or their AUC if they are labelled.

        None without validation triples.
        """
        return validation_metric(self.model, self.validation)


def _dropped(vectors: torch.Tensor, share: float) -> torch.Tensor:
    """Set a share of the numbers in vectors to 0 and scale the others up; also of the parts of complex numbers."""
    if share == 0:
        return vectors
    if vectors.is_complex():
        return torch.view_as_complex(functional.dropout(torch.view_as_real(vectors), share))
    return functional.dropout(vectors, share)
