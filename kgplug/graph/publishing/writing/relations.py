"""Write the vectors and matrices that a model has learnt for each relation into the catalogue.

    (:KgplugRun)-[:HAS_RELATION]->(:KgplugRelation {name, translation: [0.1, …]})

Each tensor becomes a property with the tensor's name, such as `translation`. Its value is a flat list of floats, as
`gds.ml.kge.predict` expects. A tensor with more than one dimension, such as TransR's matrices, is stored row by row,
with its shape in another property: `projection: [...], projection_shape: [50, 50]`.
"""

from __future__ import annotations

import numpy as np

from kgplug.data.publication import RelationVectors
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.publishing.writing.vectors import vector_texts
from kgplug.graph.queries import quote

_BATCH_NUMBERS = 320_000  # about 4 MB of text
_WHERE = "MATCH (run:KgplugRun {id: $run})-[:HAS_RELATION]->(relation:KgplugRelation)"


def write_relations(connection: Connection, run: str, relations: RelationVectors | None, *, only_missing: bool) -> int:
    """Write one catalogue node per relation of a run; return how many were written.

    Args:
        connection: connection to the database.
        run: id of a run whose record is in the catalogue.
        relations: vectors of the relations; None if there are none.
        only_missing: True: keep existing nodes and write only missing ones. False: delete all and write them again.
    """
    if not only_missing:
        connection.write(f"{_WHERE} DETACH DELETE relation", run=run)
    if relations is None:
        return 0
    there = {row["name"] for row in connection.rows(f"{_WHERE} RETURN relation.name AS name", run=run)}
    rows = np.array([row for row, name in enumerate(relations.names) if name not in there], dtype=np.int64)
    flat = {meaning: tensor.reshape(len(tensor), -1) for meaning, tensor in relations.tensors.items()}
    flat = {meaning: tensor for meaning, tensor in flat.items() if tensor.shape[1]}
    shapes = {f"{meaning}_shape": list(relations.tensors[meaning].shape[1:]) for meaning in flat}
    query = "\n".join(
        [
            "MATCH (run:KgplugRun {id: $run}) UNWIND range(0, size($names) - 1) AS row",
            "MERGE (run)-[:HAS_RELATION]->(relation:KgplugRelation {name: $names[row]}) SET relation += $shapes",
            *(
                f"SET relation.{quote(meaning)} = toFloatList(split($tensors[{number}][row], ' '))"
                for number, meaning in enumerate(flat)
            ),
        ]
    )
    numbers = sum(tensor.shape[1] for tensor in flat.values())
    batch_rows = max(1, _BATCH_NUMBERS // max(1, numbers))
    for start in range(0, len(rows), batch_rows):
        chosen = rows[start : start + batch_rows]
        connection.write(
            query,
            run=run,
            names=relations.names[chosen].tolist(),
            shapes={name: shape for name, shape in shapes.items() if len(shape) > 1},
            tensors=[vector_texts(tensor[chosen]) for tensor in flat.values()],
        )
    return len(rows)
