"""Triples as integer arrays, with the key and label of every entity."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from kgplug.data.splitting import as_uniform, check_fractions, check_seed, hash_keys, hash_names, hash_pairs, mix
from kgplug.data.values.columns import missing_columns, named_columns
from kgplug.data.values.keys import as_column, canonical_order, distinct, factorize, fingerprint
from kgplug.errors import DataError
from kgplug.plain_text import counted

_ROUNDS = 20  # maximum number of rounds in which `shuffled` permutes the tails of repeated triples again


@dataclass(frozen=True, eq=False)
class KnowledgeGraph:
    """A directed multi-relational graph: triples of head, relation and tail.

    An entity is identified by its label and key. Graphs without labels, such as those from a DataFrame, have the label
    "" everywhere. Entities, relations and triples are in canonical order, so equal content always gives equal arrays.

    Attributes:
        entity_keys: object (n_entities,), key of each entity, `int` or `str`.
        entity_labels: object (n_entities,), node label of each entity, or "".
        relations: object (n_relations,), relation names.
        triples: int64 (n_triples, 3), columns head, relation, tail: indices into the arrays above. No duplicates.
        graph_schema: schema of the Neo4j graph from which the triples were read; None for other sources.
    """

    entity_keys: np.ndarray
    entity_labels: np.ndarray
    relations: np.ndarray
    triples: np.ndarray
    graph_schema: dict[str, Any] | None = None

    @classmethod
    def from_dataframe(
        cls, frame: pd.DataFrame, *, head: str = "head", relation: str = "relation", tail: str = "tail"
    ) -> KnowledgeGraph:
        """Build a graph from a DataFrame with one row per triple.

        Args:
            frame: one row per triple. Keys are integers or text. Duplicate rows count once.
            head, relation, tail: names of the frame's columns.

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
        kinds, relations = factorize(np.array([str(name) for name in relations], dtype=object))  # 1 and "1" are equal
        triples = np.stack([codes[: len(frame)], kinds[names], codes[len(frame) :]], axis=1)
        return cls.from_arrays(keys, np.full(len(keys), "", dtype=object), relations, triples)

    @classmethod
    def from_arrays(
        cls, entity_keys: np.ndarray, entity_labels: np.ndarray, relations: np.ndarray, triples: np.ndarray
    ) -> KnowledgeGraph:
        """Build a graph from arrays in any order. Sort them into canonical order, and drop duplicate triples.

        Args:
            entity_keys: object (n_entities,), `int` or `str`. Pairs of label and key are unique.
            entity_labels: object (n_entities,), node labels, or "".
            relations: text (n_relations,), unique.
            triples: integer (n_triples, 3), columns head, relation, tail: indices into the arrays above.
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
        """Number of entities, including those without triples."""
        return len(self.entity_keys)

    @property
    def n_relations(self) -> int:
        """Number of relations."""
        return len(self.relations)

    @property
    def n_triples(self) -> int:
        """Number of triples."""
        return len(self.triples)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (hex) of keys, labels, relations and triples: equal graphs have equal fingerprints."""
        return fingerprint(self.entity_keys, self.entity_labels, self.relations, self.triples)

    @cached_property
    def row_hashes(self) -> np.ndarray:
        """uint64 (n_triples,), a hash of each triple that depends only on its labels, keys and relation."""
        head, relation, tail = self.triples.T
        entity = self.entity_hashes
        return triple_hashes(entity[head], hash_names(self.relations)[relation], entity[tail])

    @cached_property
    def entity_hashes(self) -> np.ndarray:
        """uint64 (n_entities,), a hash of each entity that depends only on its label and key."""
        return hash_pairs(hash_names(self.entity_labels), hash_keys(self.entity_keys))

    def entities_of(self, keys: np.ndarray, *, label: str = "") -> np.ndarray:
        """Return the entity index of each key.

        Args:
            keys: object (n,), `int` or `str`.
            label: node label of the keys. Ignored if the graph has no labels.

        Returns:
            int64 (n,), -1 for keys without an entity.
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
        """Split the triples at random into one graph per fraction, all with the same entities and relations.

        Which set a triple is in depends only on the triple itself (labels, keys, relation), the fractions and the seed.
        So a triple stays in its set when nodes and triples are added. On average, the sets' sizes match the
        fractions.

        Args:
            fractions: share of each set, adding up to 1, such as (0.8, 0.1, 0.1).
            seed: seed of the split, at least 0.

        Raises:
            UsageError: the fractions do not add up to 1, or the seed is not a whole number of at least 0.
        """
        checked, seed = check_fractions(fractions), check_seed(seed)
        head, relation, tail = self.triples.T
        entity = mix(hash_names(self.entity_labels)) + hash_names(self.entity_keys)
        hashes = mix(
            mix(mix(entity[head]) + hash_names(self.relations)[relation]) + entity[tail] + np.uint64(seed % 2**64)
        )
        cumulative = np.cumsum(checked)
        sets = np.searchsorted(cumulative[:-1] / cumulative[-1], as_uniform(hashes), side="right")  # (n_triples,)
        return [
            KnowledgeGraph(self.entity_keys, self.entity_labels, self.relations, self.triples[sets == index])
            for index in range(len(checked))
        ]

    def without_triples(self) -> KnowledgeGraph:
        """Return the same entities and relations without triples, to measure how much a model gains from its graph."""
        return KnowledgeGraph(self.entity_keys, self.entity_labels, self.relations, self.triples[:0])

    def shuffled(self, *, seed: int = 0) -> KnowledgeGraph:
        """Return a randomised graph of the same size, to measure how much a model gains from the facts in its graph.

        The tails of each relation's triples are permuted at random. So every entity is head and tail of as many triples
        of each relation as before, but which tail a head is linked to is random. By chance, some triples of the
        original graph may occur again.

        If the permutation makes two triples equal, or makes a tail equal to its own head, the affected tails are
        permuted again with other tails of the relation, for at most 20 rounds. Triples that are still duplicates after
        that are left out; this happens if a relation has few distinct tails.

        Args:
            seed: seed of the shuffle, at least 0.
        """
        rng = np.random.default_rng([check_seed(seed), 0x5AFE])
        head, relation, tail = self.triples.T
        tail, everyone = _dealt(tail, relation, np.arange(len(tail)), rng), np.argsort(relation, kind="stable")
        starts = np.searchsorted(relation[everyone], np.arange(self.n_relations))
        sizes = np.bincount(relation, minlength=self.n_relations)
        for _ in range(_ROUNDS):
            wrong = np.flatnonzero(_repeated(head, relation, tail) | (head == tail))
            if len(wrong) == 0:
                break
            of = relation[wrong]
            partners = everyone[starts[of] + rng.integers(0, sizes[of])]  # other triples of the same relations
            tail = _dealt(tail, relation, distinct(np.concatenate([wrong, partners])), rng)
        triples = _unique_triples(np.stack([head, relation, tail], axis=1))
        return KnowledgeGraph(self.entity_keys, self.entity_labels, self.relations, triples)

    def with_own_tails(self, keys: np.ndarray, *, label: str = "") -> KnowledgeGraph:
        """Return a graph with one triple for each of the given entities, each with a tail that no other triple has.

        Such a graph has no information about which entities are alike. Use it instead of `without_triples` for a model
        that cannot be trained without triples.

        Args:
            keys: object (n,), keys of the entities. Keys that this graph does not have are skipped.
            label: node label of the keys. Ignored if the graph has no labels.
        """
        own = self.entities_of(keys, label=label)
        own = own[own >= 0]
        n = np.arange(len(own))
        labelled = (self.entity_labels != "").any()
        return KnowledgeGraph.from_arrays(
            np.concatenate([self.entity_keys[own], np.array([f"own tail {each}" for each in n], dtype=object)]),
            np.concatenate([self.entity_labels[own], np.full(len(own), "Own tail" if labelled else "", dtype=object)]),
            np.array(["OWN"], dtype=object),
            np.stack([n, np.zeros_like(n), n + len(own)], axis=1),
        )

    def indices_in(self, other: KnowledgeGraph) -> tuple[np.ndarray, np.ndarray]:
        """Return the index of each entity and relation of this graph in another graph.

        Returns:
            (entities, relations): int64 (n_entities,) and (n_relations,), -1 where missing.
        """
        entities = np.full(self.n_entities, -1, dtype=np.int64)
        for label in set(self.entity_labels):
            rows = np.flatnonzero(self.entity_labels == label)
            entities[rows] = other.entities_of(self.entity_keys[rows], label=label)
        relations = pd.Index(other.relations, dtype=object).get_indexer(pd.Index(self.relations, dtype=object))
        return entities, relations.astype(np.int64)

    def rows_in(self, other: KnowledgeGraph) -> tuple[np.ndarray, np.ndarray]:
        """Deprecated: use `indices_in`."""
        warnings.warn("KnowledgeGraph.rows_in is now called indices_in.", DeprecationWarning, stacklevel=2)
        return self.indices_in(other)

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per triple, with keys and names: columns head, relation, tail."""
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
    """Return a hash of each triple from uint64 hashes of its head, relation and tail. Their shapes must broadcast."""
    return hash_pairs(hash_pairs(heads, relations), tails)


def _dealt(tail: np.ndarray, relation: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the tails, int64 (n,), with the tails of some rows permuted at random within each relation.

    Args:
        tail, relation: int64 (n,).
        rows: int64 (m,), distinct positions in `tail`: the rows whose tails are permuted.
    """
    ordered = rows[np.argsort(relation[rows], kind="stable")]
    mixed = rows[np.lexsort((rng.random(len(rows)), relation[rows]))]
    dealt = tail.copy()
    dealt[ordered] = tail[mixed]
    return dealt


def _repeated(head: np.ndarray, relation: np.ndarray, tail: np.ndarray) -> np.ndarray:
    """Return whether each triple is equal to an earlier one, bool (n,)."""
    order = np.lexsort((tail, relation, head))
    same = np.zeros(len(order), dtype=bool)
    columns = (head[order], relation[order], tail[order])
    same[1:] = np.logical_and.reduce([column[1:] == column[:-1] for column in columns])
    found = np.zeros(len(order), dtype=bool)
    found[order] = same
    return found


def _ranks(order: np.ndarray) -> np.ndarray:
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(len(order))
    return ranks


def _unique_triples(triples: np.ndarray) -> np.ndarray:
    """Sort triples by head, relation, tail and drop duplicates: int64 (n, 3)."""
    if len(triples) == 0:
        return triples
    n_relations, n_tails = (int(triples[:, column].max()) + 1 for column in (1, 2))
    if (int(triples[:, 0].max()) + 1) * n_relations * n_tails < 2**63:  # one number per triple sorts faster than three
        codes = distinct((triples[:, 0] * n_relations + triples[:, 1]) * n_tails + triples[:, 2])
        pairs, tails = np.divmod(codes, n_tails)
        return np.stack([*np.divmod(pairs, n_relations), tails], axis=1)
    triples = triples[np.lexsort((triples[:, 2], triples[:, 1], triples[:, 0]))]
    keep = np.ones(len(triples), dtype=bool)
    keep[1:] = (triples[1:] != triples[:-1]).any(axis=1)
    return np.ascontiguousarray(triples[keep])
