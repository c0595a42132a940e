"""Write predicted triples as PREDICTED edges.

    (head)-[:PREDICTED {relation, model, run, rank, score}]->(tail)

One transaction writes the edges and deletes the model's earlier PREDICTED edges of the same relation between the same
labels. Two nodes that the relation itself already connects get no PREDICTED edge. The catalogue lists the runs that
have PREDICTED edges; PREDICTED edges of any other run are not kgplug's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kgplug.data.publication import Predictions
from kgplug.errors import UsageError
from kgplug.graph import catalog
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.catalog import PREDICTED
from kgplug.graph.contents import unique_properties
from kgplug.graph.ownership import own_runs
from kgplug.graph.publishing.conflicts import refuse_constrained
from kgplug.graph.publishing.lease import leased
from kgplug.graph.publishing.writing.nodes import NodeLookup, find_nodes, key_property
from kgplug.graph.queries import quote
from kgplug.graph.schema import GraphSchema
from kgplug.plain_text import counted

MOST_EDGES = 100_000  # maximum number of edges, because the server holds a whole transaction in memory


@dataclass(frozen=True)
class PredictionCounts:
    """The result of writing predictions.

    Attributes:
        edges, edges_deleted: number of edges created, and number of earlier edges removed.
        not_written: number of predictions that are already triples of the graph, or whose nodes are not in the graph.
    """

    edges: int
    edges_deleted: int
    not_written: int

    def __str__(self) -> str:
        left_out = f"; {self.not_written:,} already known or without nodes were skipped" if self.not_written else ""
        return f"{counted(self.edges, f'{PREDICTED} edge')} written, {self.edges_deleted:,} removed{left_out}."

    __repr__ = __str__  # what a notebook shows


def write_predictions(connection: Connection, schema: GraphSchema, predictions: Predictions) -> PredictionCounts:
    """Write predicted triples as PREDICTED edges.

    They replace the model's earlier PREDICTED edges of the same relation between nodes of the same two labels. The
    property `model` of the edges is the name under which the run is published, or the model's own name if the run
    is not published.

    Raises:
        UsageError: there are too many predictions for one transaction, or a label has no key property.
        DataError: two nodes share a key, or none of the nodes is in the graph.
    """
    if len(predictions) > MOST_EDGES:
        raise UsageError(
            f"{len(predictions):,} predictions: the maximum to write at once is {MOST_EDGES:,}. Ask for fewer."
        )
    refuse_constrained(connection, [PREDICTED])
    lookups = _lookups(connection, schema, predictions)
    pairs = [*zip(predictions.head_labels, predictions.tail_labels, strict=True)]
    groups = [_group(predictions, lookups, pair, np.array([one == pair for one in pairs])) for pair in set(pairs)]
    query, values = _query(predictions.relation, [one for one in groups if one[2]["heads"]])
    run, published = predictions.run, catalog.find_run(connection, predictions.run)
    model = predictions.model if published is None else published.model
    catalog.ensure_constraints(connection)
    with leased(connection, model):
        catalog.note_predictions(connection, model, run)  # first, so that the edges are kgplug's from the beginning
        runs = [owner for _, owner in own_runs(connection, model)]
        counters = connection.write(
            query,
            relation=predictions.relation,
            model=model,
            run=run,
            runs=runs,
            groups=values,
            pairs=[[*pair] for pair in sorted(set(pairs))],
        )
    created = counters["relationships_created"]
    return PredictionCounts(created, counters["relationships_deleted"], len(predictions) - created)


def _lookups(connection: Connection, schema: GraphSchema, predictions: Predictions) -> dict[str, NodeLookup]:
    labels = np.concatenate([predictions.head_labels, predictions.tail_labels])
    keys = np.concatenate([predictions.head_keys, predictions.tail_keys])
    unique = unique_properties(connection)
    return {
        label: find_nodes(connection, label, key_property(schema, label, unique), keys[labels == label].tolist())
        for label in sorted(set(labels))
    }


def _group(
    predictions: Predictions, lookups: dict[str, NodeLookup], labels: tuple[str, str], rows: np.ndarray
) -> tuple[NodeLookup, NodeLookup, dict[str, list[Any]]]:
    """Return the lookups of heads and tails, and the query's parameters, for the predictions between two labels.

    `labels` is (label of the heads, label of the tails); `rows`, bool with one value per prediction, marks those
    between these labels.
    """
    heads, tails = (lookups[label] for label in labels)
    rows = rows & heads.present(predictions.head_keys) & tails.present(predictions.tail_keys)
    return heads, tails, {
        "heads": [heads.handles[key] for key in predictions.head_keys[rows]],
        "tails": [tails.handles[key] for key in predictions.tail_keys[rows]],
        "ranks": (np.flatnonzero(rows) + 1).tolist(),
        "scores": predictions.scores[rows].tolist(),
    }  # fmt: skip


def _query(
    relation: str, groups: list[tuple[NodeLookup, NodeLookup, dict[str, list[Any]]]]
) -> tuple[str, list[dict[str, Any]]]:
    parts = [
        f"OPTIONAL MATCH (a)-[old:{PREDICTED} {{model: $model, relation: $relation}}]->(b) WHERE old.run IN $runs "
        "AND (size($pairs) = 0 OR any(pair IN $pairs WHERE pair[0] IN labels(a) AND pair[1] IN labels(b))) "
        "WITH collect(old) AS outdated FOREACH (old IN outdated | DELETE old) WITH count(*) AS done"
    ]
    for number, (heads, tails, _) in enumerate(groups):
        group = f"$groups[{number}]"
        parts.append(
            f"""CALL () {{
            UNWIND range(0, size({group}.heads) - 1) AS row
            {heads.match("head", f"{group}.heads[row]")}
            {tails.match("tail", f"{group}.tails[row]")}
            WITH row, head, tail WHERE NOT EXISTS {{ (head)-[:{quote(relation)}]->(tail) }}
            CREATE (head)-[:{PREDICTED} {{relation: $relation, model: $model, run: $run,
                rank: {group}.ranks[row], score: {group}.scores[row]}}]->(tail)
            }}"""
        )
    return "\n".join([*parts, "RETURN done"]), [values for _, _, values in groups]
