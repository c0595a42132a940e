"""A Neo4j graph as a PyKEEN data set: `pipeline(dataset="neo4j", …)` and `pykeen train rotate --dataset neo4j`.

PyKEEN finds it by the entry point group "pykeen.datasets" and imports it whenever it imports its own data sets, so
nothing of Neo4j is imported before triples are asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import kgplug.embeddings  # noqa: F401 (says where PyKEEN keeps its files, before it is imported)

# isort: split
import numpy as np
from pykeen.datasets import dataset_resolver
from pykeen.datasets.base import LazyDataset
from pykeen.triples import TriplesFactory

from kgplug.data.splitting import check_seed, mix
from kgplug.errors import DataError
from kgplug.pykeen_bridge.names import entity_names

if TYPE_CHECKING:
    from kgplug.data.knowledge_graph import KnowledgeGraph

HELD_OUT = 0.1  # share of the triples for testing, and again for validation: PyKEEN's usual 80/10/10


class Neo4j(LazyDataset):
    """The triples of a Neo4j graph, in training, test and validation parts.

    Every entity and relation is in the training part, so the other two are smaller than a tenth each where the graph
    is sparse. Entities are named as `kgplug.pykeen_bridge.names` says and numbered in the order of label and key.
    The graph is read once, when triples are first asked for; PyKEEN keeps a data set asked for by name as long as the
    process lives.

    The server is the one that NEO4J_URI, NEO4J_USERNAME, NEO4J_PASSWORD and NEO4J_DATABASE name, and without
    NEO4J_URI the local Neo4j of kgplug. They are no arguments, because PyKEEN writes those beside its results.

    Args:
        schema: a schema file; without one ./kgplug.toml, and without that a guess.
        seed: of the split; 0 unless given, so that the parts are always the same.
        create_inverse_triples: train on inverse triples, too.
    """

    def __init__(
        self, schema: str | Path | None = None, *, seed: int = 0, create_inverse_triples: bool = False
    ) -> None:
        self._schema_file = None if schema is None else Path(schema)
        self._seed, self._create_inverse_triples = seed, create_inverse_triples

    def _load(self) -> None:
        knowledge = self._read()
        triples = triples_factory(knowledge, create_inverse_triples=self._create_inverse_triples)
        part = held_out(triples.mapped_triples.numpy(), hashes=knowledge.triple_hashes, seed=self._seed)
        training, testing, validation = (
            triples.clone_and_exchange_triples(triples.mapped_triples[part == number], create_inverse_triples=inverse)
            for number, inverse in enumerate((self._create_inverse_triples, False, False))
        )
        self._training, self._testing = training, testing
        self._validation = validation if validation.num_triples else None

    def _load_validation(self) -> None:
        """Nothing is left to do: the parts are split together."""

    def _read(self) -> KnowledgeGraph:
        from kgplug.graph.graph import connect
        from kgplug.graph.guessing.schema import guess_schema
        from kgplug.graph.schema import DEFAULT_FILE, GraphSchema

        file = self._schema_file or (DEFAULT_FILE if DEFAULT_FILE.exists() else None)
        with connect() as graph:
            schema = guess_schema(graph.connection)[0] if file is None else GraphSchema.load(file)
            return graph.read_knowledge(schema)


def triples_factory(knowledge: KnowledgeGraph, **options: Any) -> TriplesFactory:
    """Return a graph's triples as PyKEEN takes them, in the graph's own order; relations keep their names.

    Entities without a triple, which nothing could be learnt of, are left out.

    Args:
        options: of `TriplesFactory`.
    """
    head, relation, tail = knowledge.triples.T
    used, ends = np.unique(np.concatenate([head, tail]), return_inverse=True)
    names = entity_names(knowledge.entity_labels[used], knowledge.entity_keys[used])
    return TriplesFactory(
        mapped_triples=np.stack([ends[: len(head)], relation, ends[len(head) :]], axis=1),
        entity_to_id={name: number for number, name in enumerate(names)},
        relation_to_id={str(name): number for number, name in enumerate(knowledge.relations)},
        **options,
    )


def held_out(triples: np.ndarray, *, hashes: np.ndarray, seed: int) -> np.ndarray:
    """Return the part of each triple: 0 training, 1 test, 2 validation; int64 (n,).

    A tenth each is held out, as far as every entity and relation stays in the training part. (PyKEEN's own split gives
    up on a graph with about as many entities as triples.) The order in which triples are chosen follows from their keys
    and the seed, so one triple more moves few others.

    Args:
        triples: int64 (n, 3).
        hashes: uint64 (n,), of the keys of each.
        seed: Seed of the order.

    Raises:
        DataError: no triple can be spared.
    """
    order = np.argsort(mix(hashes + mix(np.array([check_seed(seed) % 2**64], dtype=np.uint64))))
    heads, relations, tails = triples[order].T
    spare = np.ones(len(triples), dtype=bool)
    for column in (np.stack([heads, tails], axis=1).ravel(), relations):  # who is first met stays
        first = np.unique(column, return_index=True)[1]
        spare[first // (len(column) // len(triples))] = False
    free, wanted = order[spare], max(1, round(HELD_OUT * len(triples)))
    if len(free) == 0:
        raise DataError(
            f"None of the {len(triples):,} triples can be held out for testing: each is needed for an entity or "
            "relation to be seen in training. Read a denser graph."
        )
    n_test = min(wanted, (len(free) + 1) // 2)
    part = np.zeros(len(triples), dtype=np.int64)
    part[free[:n_test]], part[free[n_test : n_test + wanted]] = 1, 2
    return part


if "neo4j" not in dataset_resolver.lookup_dict:  # imported before PyKEEN's data sets, which then could not load it
    dataset_resolver.register(Neo4j)
