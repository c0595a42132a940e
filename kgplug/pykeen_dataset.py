"""A Neo4j graph as a PyKEEN data set: `pipeline(dataset="neo4j", …)` and `pykeen train rotate --dataset neo4j`.

PyKEEN finds it by the entry point group "pykeen.datasets" and imports it whenever it imports its own data sets, so
nothing of Neo4j is imported before triples are asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pykeen.datasets.base import LazyDataset
from pykeen.triples import TriplesFactory

from kgplug.embeddings.pykeen_names import entity_names
from kgplug.errors import DataError

if TYPE_CHECKING:
    from kgplug.data.knowledge_graph import KnowledgeGraph

RATIOS = (0.8, 0.1, 0.1)  # of training, test and validation triples, as PyKEEN splits
_FEWEST_TRIPLES = 3


class Neo4j(LazyDataset):
    """The triples of a Neo4j graph, in training, test and validation parts.

    Every entity and relation of the test and validation parts is in the training part. Entities are named as
    `kgplug.embeddings.pykeen_names` says and numbered in the order of label and key. The graph is read once, when
    triples are first asked for; PyKEEN keeps a data set asked for by name as long as the process lives.

    Args:
        schema: a schema file; without one ./kgplug.toml, and without that a guess.
        seed: of the split; 0 unless given, so that the parts are always the same.
        create_inverse_triples: train on inverse triples, too.
        uri, username, password, database: of the server; from the environment (NEO4J_URI …) where not given, and
            without any the local Neo4j of kgplug.
    """

    def __init__(
        self,
        schema: str | Path | None = None,
        *,
        seed: int = 0,
        create_inverse_triples: bool = False,
        uri: str | None = None,
        username: str | None = None,
        password: str | None = None,
        database: str | None = None,
    ) -> None:
        self._schema_file = None if schema is None else Path(schema)
        self._seed, self._create_inverse_triples = seed, create_inverse_triples
        self._server = {"uri": uri, "username": username, "password": password, "database": database}

    def _load(self) -> None:
        triples = triples_factory(self._read(), create_inverse_triples=self._create_inverse_triples)
        training, testing, validation = triples.split(RATIOS, random_state=self._seed)
        if not testing.num_triples:
            raise DataError(
                f"None of the {triples.num_triples:,} triples can be held out for testing: each is needed for an entity "
                "or relation to be seen in training. Read a denser graph."
            )
        self._training, self._testing = training, testing
        self._validation = validation if validation.num_triples else None

    def _load_validation(self) -> None:
        """Nothing is left to do: the parts are split together."""

    def _read(self) -> KnowledgeGraph:
        from kgplug.graph.graph import connect
        from kgplug.graph.guess import guess_schema
        from kgplug.graph.schema import DEFAULT_FILE, GraphSchema

        file = self._schema_file or (DEFAULT_FILE if DEFAULT_FILE.exists() else None)
        with connect(**self._server) as graph:
            schema = guess_schema(graph.connection)[0] if file is None else GraphSchema.load(file)
            return graph.read_knowledge(schema)


def triples_factory(knowledge: KnowledgeGraph, **options: Any) -> TriplesFactory:
    """Return a graph's triples as PyKEEN takes them, in the graph's own numbers; relations keep whatever name they have.

    Entities without a triple, which nothing could be learnt of, are left out.

    Args:
        options: of `TriplesFactory`.

    Raises:
        DataError: the triples are too few to be split.
    """
    import numpy as np

    if knowledge.n_triples < _FEWEST_TRIPLES:
        raise DataError(
            f"Expected at least {_FEWEST_TRIPLES} triples to split into training, test and validation parts, found "
            f"{knowledge.n_triples:,}."
        )
    head, relation, tail = knowledge.triples.T
    used, ends = np.unique(np.concatenate([head, tail]), return_inverse=True)
    names = entity_names(knowledge.entity_labels[used], knowledge.entity_keys[used])
    return TriplesFactory(
        mapped_triples=np.stack([ends[: len(head)], relation, ends[len(head) :]], axis=1),
        entity_to_id={name: number for number, name in enumerate(names)},
        relation_to_id={str(name): number for number, name in enumerate(knowledge.relations)},
        **options,
    )
