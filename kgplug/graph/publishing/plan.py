"""Plan a publish and check it before the first write. A dry run and a real publish both begin with such a plan."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from kgplug.data.publication import Publication
from kgplug.data.values.keys import fingerprint
from kgplug.errors import GraphError
from kgplug.graph import catalog
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.catalog import RunRecord
from kgplug.graph.contents import unique_properties
from kgplug.graph.publishing.check import check_publication
from kgplug.graph.publishing.conflicts import check_constraints, check_name
from kgplug.graph.publishing.writing.nodes import NodeLookup, find_nodes, key_property
from kgplug.graph.publishing.writing.vectors import check_index_names
from kgplug.graph.schema import GraphSchema


@dataclass(frozen=True, eq=False)
class Plan:
    """A publish that has been checked but has not written anything yet.

    Attributes:
        connection: connection to the database.
        publication: the vectors and lists to write.
        lookups: label → lookup, which finds the label's nodes by their keys.
        record: the entry that the run will have in the catalogue.
        found: the entry that the run has in the catalogue now; None if it has none.
        seconds: duration of the checks.
    """

    connection: Connection
    publication: Publication
    lookups: dict[str, NodeLookup]
    record: RunRecord
    found: RunRecord | None
    seconds: float


def plan(connection: Connection, schema: GraphSchema, publication: Publication, *, replace: bool = False) -> Plan:
    """Check a publish and look up its nodes, without writing; return the plan for `write`.

    Args:
        connection: connection to the database.
        schema: schema that names users, items and keys.
        publication: what to write.
        replace: allow replacing a run with another schema that is served under the model's name.

    Raises:
        UsageError: the publication does not fit the schema, or a run with another schema serves under the model's name.
        DataError: two nodes share a key, or the arrays do not fit together.
        GraphError: the run's id, property or index name is taken, or a constraint would refuse its edges.
    """
    began = time.perf_counter()
    check_publication(publication)
    check_name(connection, schema, publication, replace=replace)
    check_constraints(connection, publication)
    lookups = _look_up_nodes(connection, schema, publication)
    record = catalog.planned_record(
        publication, vectors_digest=_vectors_digest(publication), lists_digest=_lists_digest(publication)
    )
    found = find_own(connection, record)
    return Plan(connection, publication, lookups, record, found, time.perf_counter() - began)


def find_own(connection: Connection, planned: RunRecord) -> RunRecord | None:
    """Return the catalogue record that the planned run already has in the graph; None if it has none.

    Raises:
        GraphError: the run's id, property name or index name already belongs to something else.
    """
    found = catalog.find_run(connection, planned.id)
    if found is None:
        catalog.check_own_property(connection, planned)
    else:
        _check_same_run(found, planned)
    check_index_names(connection, planned)
    return found


def has_same_vectors(planned: RunRecord, found: RunRecord | None) -> bool:
    """Return whether the run's record in the graph has the digest of the planned vectors.

    If so, the graph has no other vectors of this run, but some of the planned ones may still be missing.
    """
    return found is not None and found.vectors_digest == planned.vectors_digest


def has_same_lists(planned: RunRecord, found: RunRecord | None) -> bool:
    """Return whether the run's record in the graph has the digest of the planned lists.

    If so, the graph has all planned lists.
    """
    return found is not None and found.edition is not None and found.lists_digest == planned.lists_digest


def _look_up_nodes(connection: Connection, schema: GraphSchema, publication: Publication) -> dict[str, NodeLookup]:
    """Look up all nodes of a publication in the graph; return label → lookup of the label's nodes."""
    wanted: dict[str, list[np.ndarray]] = {}
    for nodes in publication.vectors:
        wanted.setdefault(nodes.label, []).append(nodes.keys)
    for lists in (publication.lists, *publication.similar):
        if lists is not None:
            wanted.setdefault(lists.user_label, []).append(lists.user_keys)
            wanted.setdefault(lists.item_label, []).append(lists.item_keys)
    unique = unique_properties(connection)
    key_of = {label: key_property(schema, label, unique) for label in wanted}
    return {
        label: find_nodes(connection, schema, label, key_of[label], np.concatenate(arrays).tolist())
        for label, arrays in wanted.items()
    }


def _check_same_run(found: RunRecord, planned: RunRecord) -> None:
    """Raise GraphError if the run in the graph differs from the planned run in facts that must not change.

    These are the name of the model, and the labels, dimensions and index names of the vectors.
    """
    if found.model != planned.model:
        raise GraphError(
            f"Run {found.id} is in the graph under the name {found.model}, and a run has one name. To serve it as "
            f"{planned.model}, unpublish {found.model} first, or train another run."
        )
    there, wanted = ([*zip(run.labels, run.dimensions, strict=True)] for run in (found, planned))
    if there != wanted or found.indexes != planned.indexes:
        raise GraphError(
            f"Run {found.id} is in the graph with vectors of {there or 'nothing'}, and this publication has {wanted}. "
            "A run does not change: train again."
        )


def _vectors_digest(publication: Publication) -> str:
    """Return the sha256 of a publication's vectors, including those of relations."""
    parts = [part for nodes in publication.vectors for part in (nodes.label, nodes.keys, nodes.vectors)]
    if publication.relations is not None:
        parts.append(publication.relations.names)
        parts += [part for pair in publication.relations.tensors.items() for part in pair]
    return fingerprint(*parts)


def _lists_digest(publication: Publication) -> str:
    """Return the sha256 of a publication's lists, including the lists of similar nodes."""
    all_lists = [("", publication.lists), *(("similar", lists) for lists in publication.similar)]
    return fingerprint(
        *(
            part
            for kind, lists in all_lists
            if lists is not None
            for part in (
                *(kind, lists.user_label, lists.item_label),
                *(lists.user_keys, lists.item_keys, lists.items, lists.scores),
            )
        )
    )
