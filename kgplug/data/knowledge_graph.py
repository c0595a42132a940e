"""Triples as integer arrays, with the key and label of every entity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from kgplug.data.splitting import as_fractions, check_fractions, check_seed, hash_keys, hash_pairs, hashed, mixed
from kgplug.data.values.columns import missing_columns, named_columns
from kgplug.data.values.keys import as_column, canonical_order, distinct, factorize, fingerprint
from kgplug.errors import DataError
from kgplug.plain_text import counted


@dataclass(frozen=True, eq=False)
class KnowledgeGraph:
    """A directed multi-relational graph.

    An entity is known by (label, key); graphs without labels (from a DataFrame) have the
    label "" everywhere. Entities, relations and triples stand in canonical order, so equal
    content always gives equal arrays.

    Attributes:
        entity_keys: object (n_entities,), `int` or `str`.
        entity_labels: object (n_entities,), the node label or "".
        relations: object (n_relations,), relation names.
        triples: int64 (n_triples, 3), columns head, relation, tail; no duplicates.
        graph_schema: of the graph from which they were read, None for other sources.
    """

    entity_keys: np.ndarray
    entity_labels: np.ndarray
    relations: np.ndarray
    triples: np.ndarray
    graph_schema: dict | None = None

    @classmethod
    def from_dataframe(
        cls, frame: pd.DataFrame, *, head: str = "head", relation: str = "relation", tail: str = "tail"
    ) -> KnowledgeGraph:
        """Build a graph from one row a triple; any integers or text as keys.

        Raises:
            DataError: a column is missing, a key is null, or there is no row.
        """
        missing = missing_columns(frame, [head, relation, tail], what="Triples")
        if missing:
            needed, named, found = named_columns((head, relation, tail), missing, frame.columns)
            raise DataError(f"Triples need the columns {needed}; missing: {named}. Columns found: {found}.")
        if len(frame) == 0:
            raise DataError("Triples: expected at least one row, found none.")
        ends = [as_column(frame[name], what=f'column "{name}"') for name in (head, tail)]
        if ends[0].dtype != ends[1].dtype:
            ends = [end.astype(object) for end in ends]
        codes, keys = factorize(np.concatenate(ends))
        names, relations = factorize(as_column(frame[relation], what=f'column "{relation}"'))
        kinds, relations = factorize(np.array([str(name) for name in relations], dtype=object))  # 1 and "1" are one
        triples = np.stack([codes[: len(frame)], kinds[names], codes[len(frame) :]], axis=1)
        return cls.from_arrays(keys, np.full(len(keys), "", dtype=object), relations, triples)

    @classmethod
    def from_arrays(
        cls, entity_keys: np.ndarray, entity_labels: np.ndarray, relations: np.ndarray, triples: np.ndarray
    ) -> KnowledgeGraph:
        """Put arrays in canonical order and drop duplicate triples.

        Args:
            entity_keys: object (n_entities,).
            entity_labels: object (n_entities,).
            relations: text (n_relations,), unique.
            triples: integer (n_triples, 3), row numbers into the above.
        """
        entity_keys = np.asarray(entity_keys, dtype=object)
        entity_labels = np.asarray(entity_labels, dtype=object)
        relations = np.asarray(relations, dtype=object)
        triples = np.asarray(triples, dtype=np.int64).reshape(-1, 3)
        order = canonical_order(entity_keys)
        order = order[np.argsort(factorize(entity_labels)[0][order], kind="stable")]
        relation_order = canonical_order(relations)
        entity_rank, relation_rank = _ranks(order), _ranks(relation_order)
        triples = np.stack(
            [entity_rank[triples[:, 0]], relation_rank[triples[:, 1]], entity_rank[triples[:, 2]]], axis=1
        )
        triples = _unique_triples(triples)
        return cls(entity_keys[order], entity_labels[order], relations[relation_order], triples)

    @property
    def n_entities(self) -> int:
        return len(self.entity_keys)

    @property
    def n_relations(self) -> int:
        return len(self.relations)

    @property
    def n_triples(self) -> int:
        return len(self.triples)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of keys, labels, relations and triples."""
        return fingerprint(self.entity_keys, self.entity_labels, self.relations, self.triples)

    @cached_property
    def triple_hashes(self) -> np.ndarray:
        """uint64 (n_triples,): a number for each triple that follows from labels, keys and relation alone."""
        head, relation, tail = self.triples.T
        entity = self.entity_hashes
        return triple_hashes(entity[head], hashed(self.relations)[relation], entity[tail])

    @cached_property
    def entity_hashes(self) -> np.ndarray:
        """uint64 (n_entities,): a number for each entity that follows from its label and key alone."""
        return hash_pairs(hashed(self.entity_labels), hash_keys(self.entity_keys))

    def entities_of(self, keys: np.ndarray, *, label: str = "") -> np.ndarray:
        """Return the entity number of each key, int64 (n,), -1 where the graph has no such entity.

        Args:
            keys: object (n,).
            label: node label of the keys; ignored by a graph without labels.
        """
        if not (self.entity_labels != "").any():
            label = ""
        rows = np.flatnonzero(self.entity_labels == label)
        index = pd.Index(self.entity_keys[rows], dtype=object)
        found = index.get_indexer(pd.Index(np.asarray(keys, dtype=object), dtype=object))
        result = np.full(len(found), -1, dtype=np.int64)
        result[found >= 0] = rows[found[found >= 0]]
        return result

    def split(self, fractions: Sequence[float], *, seed: int = 0) -> list[KnowledgeGraph]:
        """Part the triples at random: one graph a share, all over the same entities and relations.

        A triple's part follows from its own keys and the seed alone, so it stays where it is when nodes and triples
        arrive: what a model was tested on once is never trained on later. Sizes differ from the shares by chance.

        Raises:
            UsageError: the shares do not add up to 1, or the seed is not a whole number from 0 on.
        """
        shares, seed = check_fractions(fractions), check_seed(seed)
        head, relation, tail = self.triples.T
        entity = mixed(hashed(self.entity_labels)) + hashed(self.entity_keys)
        number = mixed(
            mixed(mixed(entity[head]) + hashed(self.relations)[relation]) + entity[tail] + np.uint64(seed % 2**64)
        )
        cumulative = np.cumsum(shares)
        part = np.searchsorted(cumulative[:-1] / cumulative[-1], as_fractions(number), side="right")
        return [
            KnowledgeGraph(self.entity_keys, self.entity_labels, self.relations, self.triples[part == number])
            for number in range(len(fractions))
        ]

    def without_triples(self) -> KnowledgeGraph:
        """Return the same entities and relations with nothing said of them: what a model is without its graph."""
        return KnowledgeGraph(self.entity_keys, self.entity_labels, self.relations, self.triples[:0])

    def rows_in(self, other: KnowledgeGraph) -> tuple[np.ndarray, np.ndarray]:
        """Return where another graph has this one's entities and relations: int64, -1 where it has them not."""
        entities = np.full(self.n_entities, -1, dtype=np.int64)
        for label in set(self.entity_labels):
            rows = np.flatnonzero(self.entity_labels == label)
            entities[rows] = other.entities_of(self.entity_keys[rows], label=label)
        relations = pd.Index(other.relations, dtype=object).get_indexer(pd.Index(self.relations, dtype=object))
        return entities, relations.astype(np.int64)

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row a triple with keys and names: columns head, relation, tail."""
        head, relation, tail = self.triples.T
        return pd.DataFrame(
            {"head": self.entity_keys[head], "relation": self.relations[relation], "tail": self.entity_keys[tail]}
        )

    def __repr__(self) -> str:
        return (
            f"KnowledgeGraph({counted(self.n_entities, 'entity', plural='entities')}, "
            f"{counted(self.n_relations, 'relation')}, {counted(self.n_triples, 'triple')})"
        )


def triple_hashes(heads: np.ndarray, relations: np.ndarray, tails: np.ndarray) -> np.ndarray:
    """Return a number for each triple of hashes: uint64, shapes that fit together → uint64."""
    return hash_pairs(hash_pairs(heads, relations), tails)


def _ranks(order: np.ndarray) -> np.ndarray:
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(len(order))
    return ranks


def _unique_triples(triples: np.ndarray) -> np.ndarray:
    """Sort triples by head, relation, tail and drop duplicates: int64 (n, 3)."""
    if len(triples) == 0:
        return triples
    n_relations, n_tails = (int(triples[:, column].max()) + 1 for column in (1, 2))
    if (int(triples[:, 0].max()) + 1) * n_relations * n_tails < 2**63:  # one number a triple sorts faster than three
        codes = distinct((triples[:, 0] * n_relations + triples[:, 1]) * n_tails + triples[:, 2])
        pairs, tails = np.divmod(codes, n_tails)
        return np.stack([*np.divmod(pairs, n_relations), tails], axis=1)
    triples = triples[np.lexsort((triples[:, 2], triples[:, 1], triples[:, 0]))]
    keep = np.ones(len(triples), dtype=bool)
    keep[1:] = (triples[1:] != triples[:-1]).any(axis=1)
    return np.ascontiguousarray(triples[keep])
