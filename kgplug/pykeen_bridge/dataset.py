"""A Neo4j graph as a PyKEEN data set: `pipeline(dataset="neo4j", …)` and `pykeen train rotate --dataset neo4j`.

PyKEEN finds the data set by the entry point group "pykeen.datasets". It imports this module whenever it imports its own
data sets. To keep that import fast, the modules for Neo4j are imported only when triples are requested.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import kgplug.embeddings  # noqa: F401 (chooses PyKEEN's folder; must precede its import)

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

HELD_OUT = 0.1  # fraction of the triples in each of the test and validation sets, as in PyKEEN's usual 80/10/10


class Neo4j(LazyDataset):
    """The triples of a Neo4j graph, split into a training, a test and a validation set.

    The test and validation sets contain a tenth of the triples each, or less if the training set needs more to contain
    every entity and relation. `kgplug.pykeen_bridge.names` defines the names of entities. PyKEEN's ids of entities are
    ordered by label, then by key. The graph is read once, when triples are first requested. If the data set is
    requested by name, PyKEEN keeps it in memory until the process ends.

    The environment variables NEO4J_URI, NEO4J_USERNAME, NEO4J_PASSWORD and NEO4J_DATABASE choose the server; without
    NEO4J_URI, kgplug's local Neo4j is used. These are not arguments, because PyKEEN writes arguments into its results.

    Args:
        schema: Schema file. If omitted, ./kgplug.toml is used; if that does not exist, the schema is guessed from the
            graph.
        seed: Seed of the split. The default is fixed, so that the sets are always the same.
        create_inverse_triples: Also train on inverse triples.
    """

    def __init__(
        self, schema: str | Path | None = None, *, seed: int = 0, create_inverse_triples: bool = False
    ) -> None:
        self._schema_file = None if schema is None else Path(schema)
        self._seed, self._create_inverse_triples = seed, create_inverse_triples

    def _load(self) -> None:
        knowledge = self._read()
        triples = triples_factory(knowledge, create_inverse_triples=self._create_inverse_triples)
        number = held_out(triples.mapped_triples.numpy(), hashes=knowledge.row_hashes, seed=self._seed)
        training, testing, validation = (
            triples.clone_and_exchange_triples(triples.mapped_triples[number == each], create_inverse_triples=inverse)
            for each, inverse in enumerate((self._create_inverse_triples, False, False))
        )
        self._training, self._testing = training, testing
        self._validation = validation if validation.num_triples else None

    def _load_validation(self) -> None:
        """Do nothing: `_load` has already made all three sets."""

    def _read(self) -> KnowledgeGraph:
        from kgplug.graph.graph import connect
        from kgplug.graph.guessing.schema import guess_schema
        from kgplug.graph.schema import DEFAULT_FILE, GraphSchema

        file = self._schema_file or (DEFAULT_FILE if DEFAULT_FILE.exists() else None)
        with connect() as graph:
            schema = guess_schema(graph.connection)[0] if file is None else GraphSchema.load(file)
            return graph.read_knowledge(schema)


def triples_factory(knowledge: KnowledgeGraph, **options: Any) -> TriplesFactory:
    """Return a graph's triples as a PyKEEN `TriplesFactory`, in the same order. Relations keep their names.

    Entities without a triple are left out, because nothing could be learnt about them.

    Args:
        knowledge: The graph's triples.
        options: Further keyword arguments of `TriplesFactory`.
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
    """Assign each triple to a set: 0 for training, 1 for test, 2 for validation; int64 (n,).

    The test and validation sets contain a tenth of the triples each, or less if the training set needs more to contain
    every entity and relation. The order in which triples are chosen depends only on their keys and the seed. So if a
    triple is added, most others stay in their set.

    Args:
        triples: Head, relation and tail, int64 (n, 3).
        hashes: Hash of each triple's keys, uint64 (n,).
        seed: Seed of the order in which triples are chosen.

    Raises:
        DataError: every triple is needed in the training set.
    """
    order = np.argsort(mix(hashes + mix(np.array([check_seed(seed) % 2**64], dtype=np.uint64))))
    heads, relations, tails = triples[order].T
    spare = np.ones(len(triples), dtype=bool)
    # In this order, the first triple of each entity and relation stays in the training set.
    for column in (np.stack([heads, tails], axis=1).ravel(), relations):
        first = np.unique(column, return_index=True)[1]
        spare[first // (len(column) // len(triples))] = False
    free, wanted = order[spare], max(1, round(HELD_OUT * len(triples)))
    if len(free) == 0:
        raise DataError(
            f"None of the {len(triples):,} triples can be held out for testing: without any one of them, "
            "training would miss an entity or relation. Read a denser graph."
        )
    n_test = min(wanted, (len(free) + 1) // 2)
    number = np.zeros(len(triples), dtype=np.int64)
    number[free[:n_test]], number[free[n_test : n_test + wanted]] = 1, 2
    return number


# PyKEEN cannot load the entry point if this module is imported before PyKEEN's data sets. So register `Neo4j` here.
if "neo4j" not in dataset_resolver.lookup_dict:
    dataset_resolver.register(Neo4j)
