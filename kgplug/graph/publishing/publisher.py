"""Write a run into the graph beside the one that serves, then let it serve.

A publish goes through these steps, and may die at any point of any of them:

    check      everything that can be refused is refused here, before the first write
    vectors    into a property of the run's own
    index      a vector index of the run's own over it; waited for
    relations  a catalogue node a relation, with its vectors
    lists      RECOMMENDS edges, under an edition of their own
    similar    SIMILAR_TO edges likewise
    count      the edges of the edition are counted; where some are missing or too many they are compared one by one
    switch     one transaction moves the model's pointer; the run before stays as the previous one
    clean up   older runs, and builds that died, are removed

Until the switch what served before serves, vectors and lists, and nothing of it is touched. Publishing the run again
does what is left to do, and nothing where all is done. The publisher holds a lease on the model meanwhile.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from kgplug.data.erased_items import is_erased
from kgplug.data.publication import Publication, TopLists
from kgplug.data.values.keys import fingerprint
from kgplug.errors import GraphError, when_interrupted
from kgplug.graph import catalog
from kgplug.graph.catalog import RunRecord
from kgplug.graph.connection import Connection
from kgplug.graph.contents import unique_properties
from kgplug.graph.privileges import require_publish
from kgplug.graph.publishing.check import check_publication
from kgplug.graph.publishing.clean import drop_superseded, let_readers_finish
from kgplug.graph.publishing.conflicts import check_constraints, check_name
from kgplug.graph.publishing.lease import LEASE_MS, Lease, leased
from kgplug.graph.publishing.lists import Edition, ListCounts, count_edges, write_lists
from kgplug.graph.publishing.nodes import NodeLookup, find_nodes, key_property
from kgplug.graph.publishing.relations import write_relations
from kgplug.graph.publishing.vectors import check_index_names, create_indexes, wait_for_indexes, write_vectors
from kgplug.graph.schema import GraphSchema
from kgplug.plain_text import counted

_SAMPLE_KEYS = 5
USUAL_RATES = {"vectors": 8_000, "edges": 15_000}  # a second; what the next publish expects where this one wrote none


@dataclass
class PublishReport:
    """What a publish did.

    Attributes:
        model, run: what was published.
        vectors, vectors_kept: written, and found in place.
        vectors_skipped: not written because they are zero or not finite.
        relations: whose vectors were written into the catalogue.
        lists, lists_kept: users whose list was written, and found in place; an empty list counts.
        edges: RECOMMENDS edges created.
        similar, similar_kept, similar_edges: the same of nodes and SIMILAR_TO edges.
        missing: nodes that the model knows and the graph has not (any more); nothing was written for them.
        vanished: vectors and edges not written because their nodes went while they were written.
        skipped_keys, missing_keys: some of these, as "label key".
        indexes: vector indexes that serve the run.
        previous: run that served before; None if none did or this one did.
        dropped: older runs and dead builds that were removed.
        seconds: step → wall time.
    """

    model: str
    run: str
    vectors: int = 0
    vectors_kept: int = 0
    vectors_skipped: int = 0
    relations: int = 0
    lists: int = 0
    lists_kept: int = 0
    edges: int = 0
    similar: int = 0
    similar_kept: int = 0
    similar_edges: int = 0
    missing: int = 0
    vanished: int = 0
    skipped_keys: list[str] = field(default_factory=list)
    missing_keys: list[str] = field(default_factory=list)
    indexes: list[str] = field(default_factory=list)
    previous: str | None = None
    dropped: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def vectors_per_s(self) -> float:
        """Vectors written a second, without the building of the index."""
        return self.vectors / max(self.seconds.get("vectors", 0.0), 1e-9)

    @property
    def edges_per_s(self) -> float:
        """RECOMMENDS edges written a second."""
        return self.edges / max(self.seconds.get("lists", 0.0), 1e-9)

    def to_dict(self) -> dict:
        """Return all of it, JSON-able."""
        return {**asdict(self), "vectors_per_s": self.vectors_per_s, "edges_per_s": self.edges_per_s}

    def __str__(self) -> str:
        return "\n".join(self._sentences())

    __repr__ = __str__  # what a notebook answers

    def _sentences(self) -> Iterator[str]:
        yield f"{self.model} is served by run {self.run} ({sum(self.seconds.values()):.1f} s)."
        if self.vectors or self.vectors_kept:
            kept = f", {self.vectors_kept:,} were there" if self.vectors_kept else ""
            yield f"Vectors: {self.vectors:,} written{kept}; vector indexes: {_few(self.indexes)}."
        if self.lists or self.lists_kept:
            kept = f", {self.lists_kept:,} were there" if self.lists_kept else ""
            yield f"Lists: {counted(self.lists, 'user')} written ({counted(self.edges, 'edge')}){kept}."
        if self.similar or self.similar_kept:
            kept = f", {self.similar_kept:,} were there" if self.similar_kept else ""
            edges = counted(self.similar_edges, "edge")
            yield f"Similar nodes: lists of {counted(self.similar, 'node')} written ({edges}){kept}."
        if self.vectors_skipped:
            named = ", ".join(self.skipped_keys)
            yield f"Skipped {counted(self.vectors_skipped, 'vector')}, zero or not finite, such as {named}."
        if self.missing:
            named = ", ".join(self.missing_keys)
            are = "node that is" if self.missing == 1 else "nodes that are"
            such = "" if self.missing == 1 else "such as "
            yield f"Passed over {self.missing:,} {are} not in the graph: {such}{named}."
        if self.vanished:
            yield f"Not written: {self.vanished:,} vectors and edges whose nodes were deleted meanwhile."
        if self.previous:
            command = f"kgplug rollback {shlex.quote(self.model)}"
            yield f"Run {self.previous} served before and is kept: `{command}` brings it back."
        if self.dropped:
            yield f"Removed: {', '.join(self.dropped)}."


def publish(
    connection: Connection,
    schema: GraphSchema,
    publication: Publication,
    *,
    keep_previous: bool = True,
    replace: bool = False,
    progress: bool | None = None,
    index_timeout_s: float = 300,
) -> PublishReport:
    """Write vectors and lists of a run into the graph and let it serve under its model's name.

    Args:
        connection: to the database.
        schema: names users, items and keys.
        publication: what to write.
        keep_previous: keep the run that serves now, for `rollback`; else it is removed when the new one serves.
        replace: let it take the place of a run of another schema that is served under the model's name.
        progress: show bars; None shows them on a terminal.
        index_timeout_s: give up when a vector index makes no progress for so long.

    Raises:
        UsageError: the publication does not fit the schema, or a run of another schema serves under the name.
        DataError: two nodes share a key, or the arrays are not what they should be.
        GraphError: somebody else publishes this model, a name is taken, an index does not get ready, or the server
            refuses. What served before still serves.
    """
    publisher = _Publisher(connection, schema, publication, keep_previous, progress)
    return publisher.publish(index_timeout_s, replace_others=replace)


class _Publisher:
    """One publish, step by step; the report fills up on the way."""

    def __init__(
        self,
        connection: Connection,
        schema: GraphSchema,
        publication: Publication,
        keep_previous: bool,
        progress: bool | None,
    ) -> None:
        self._connection, self._schema, self._publication = connection, schema, publication
        self._keep_previous, self._progress = keep_previous, progress
        self._report = PublishReport(publication.model, publication.run)
        self._lookups: dict[str, NodeLookup] = {}
        self._planned: RunRecord
        self._missing: set[tuple[str, int | str]] = set()
        self._has_begun = False

    def _what_is_left(self) -> str | None:
        return "The same command, given again, does the rest." if self._has_begun else None

    def publish(self, index_timeout_s: float, *, replace_others: bool = False) -> PublishReport:
        with self._step("check"):
            self._check(replace_others=replace_others)
        with leased(self._connection, self._publication.model) as lease, when_interrupted(self._what_is_left):
            with self._step("vectors"):
                record, found = self._begin(lease)
                self._has_begun = True
                self._write_vectors(record, lease, only_missing=has_same_vectors(record, found))
            with self._step("index"):
                self._report.indexes = create_indexes(self._connection, record)
                wait_for_indexes(
                    self._connection, self._report.indexes, timeout_s=index_timeout_s, progress=self._progress
                )
            with self._step("relations"):
                self._report.relations = write_relations(
                    self._connection,
                    record.id,
                    self._publication.relations,
                    only_missing=has_same_vectors(record, found),
                )
            self._write_all_lists(record, lease, compare=found is not None)
            with self._step("switch"):
                serves = self._switch(record, lease)
            with self._step("clean up"):
                self._clean_up(serves)
        return self._report

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self._report.seconds[name] = self._report.seconds.get(name, 0.0) + time.perf_counter() - began

    def _check(self, *, replace_others: bool) -> None:
        """Refuse what can be refused; the first write comes last."""
        check_publication(self._publication)
        require_publish(self._connection)
        check_name(self._connection, self._schema, self._publication, replace=replace_others)
        check_constraints(self._connection, self._publication)
        self._lookups = look_up_nodes(self._connection, self._schema, self._publication)
        self._planned, _ = plan(self._connection, self._publication)
        catalog.ensure_constraints(self._connection)  # the first write: a missing privilege shows here

    def _begin(self, lease: Lease) -> tuple[RunRecord, RunRecord | None]:
        """Write the run's record; return it as it is now, and as it was.

        Lists that serve, or did, stay as they are: where they are to be others, these get an edition of their own.
        While other vectors than the record's stand in the property it names none, so that a later publish does not
        take them for its own.
        """
        planned = self._planned
        found = find_own(self._connection, planned)  # again, as it may have been published since the check
        has_lists = has_same_lists(planned, found)
        others_there = found is not None and not has_same_vectors(planned, found)
        written = replace(planned, vectors_digest=None) if others_there else planned
        begun = catalog.begin(self._connection, written, lease.token, stage=not has_lists)
        if found is not None and found.status == catalog.DROPPING:
            catalog.mark(self._connection, planned.id, catalog.BUILDING)
        edition = found.edition if found is not None and has_lists else begun.staged
        return replace(planned, number=begun.number, edition=edition, staged=begun.staged), found

    def _write_vectors(self, record: RunRecord, lease: Lease, *, only_missing: bool) -> None:
        for nodes, name in zip(self._publication.vectors, record.properties, strict=True):
            lease.check()
            lookup = self._lookups[nodes.label]
            counts = write_vectors(
                self._connection, nodes, lookup, name, only_missing=only_missing, progress=self._progress
            )
            report = self._report
            report.vectors += counts.written
            report.vectors_kept += counts.kept
            skipped = [key for key in counts.skipped_keys if not is_erased(key)]
            report.vectors_skipped += len(skipped)
            report.skipped_keys += _samples(nodes.label, skipped, report.skipped_keys)
            report.vanished += counts.vanished
            self._count_missing(nodes.label, counts.missing_keys)
        if not only_missing:
            catalog.note_vectors(self._connection, record)

    def _lists(self) -> list[TopLists]:
        return [] if self._publication.lists is None else [self._publication.lists]

    def _write_all_lists(self, record: RunRecord, lease: Lease, *, compare: bool) -> None:
        """Write RECOMMENDS and SIMILAR_TO edges, and count them."""
        assert record.edition is not None
        edition, report = Edition(record.model, record.id, record.edition, lease.check), self._report
        with self._step("lists"):
            counts = self._write_edges(catalog.RECOMMENDS, edition, self._lists(), compare=compare)
            report.lists, report.lists_kept = sum(c.written for c in counts), sum(c.kept for c in counts)
            report.edges = sum(c.edges for c in counts)
        self._count_again(catalog.RECOMMENDS, edition, self._lists(), counts)
        with self._step("similar"):
            counts = self._write_edges(catalog.SIMILAR_TO, edition, self._publication.similar, compare=compare)
            report.similar, report.similar_kept = sum(c.written for c in counts), sum(c.kept for c in counts)
            report.similar_edges = sum(c.edges for c in counts)
        self._count_again(catalog.SIMILAR_TO, edition, self._publication.similar, counts)

    def _write_edges(self, edge: str, edition: Edition, lists: list[TopLists], *, compare: bool) -> list[ListCounts]:
        written = write_lists(
            self._connection, edge, edition, lists, self._lookups, compare=compare, progress=self._progress
        )
        for one, counts in zip(lists, written, strict=True):
            self._report.vanished += counts.vanished
            self._count_missing(one.user_label, counts.missing_users)
            self._count_missing(one.item_label, counts.missing_items)
        return written

    def _count_again(self, edge: str, edition: Edition, lists: list[TopLists], written: list[ListCounts]) -> None:
        """Count the edges in the graph; where they are not as many as they should be, compare list by list."""
        with self._step("count"):
            if count_edges(self._connection, edge, edition) != sum(counts.expected for counts in written):
                write_lists(
                    self._connection, edge, edition, lists, self._lookups, compare=True, progress=self._progress
                )

    def _count_missing(self, label: str, keys: list) -> None:
        """Count nodes that are not in the graph, those of vectors and of lists once, and of erased people never."""
        new = [key for key in keys if (label, key) not in self._missing and not is_erased(key)]
        self._missing.update((label, key) for key in new)
        self._report.missing += len(new)
        self._report.missing_keys += _samples(label, new, self._report.missing_keys)

    def _switch(self, record: RunRecord, lease: Lease) -> RunRecord | None:
        """Let the run serve; return the record of what served until now, None if all that did is kept."""
        serving = catalog.serving_run(self._connection, record.model)
        if serving is not None and (serving.id, serving.edition) == (record.id, record.edition):
            return None
        if serving is not None and serving.id != record.id:
            self._report.previous = serving.id
        rates = {"vectors": round(self._report.vectors_per_s), "edges": round(self._report.edges_per_s)}
        measured = {name: rate for name, rate in rates.items() if rate}
        catalog.switch(
            self._connection, replace(record, rates={**USUAL_RATES, **measured}), lease.token, lease_ms=LEASE_MS
        )
        return serving

    def _clean_up(self, served: RunRecord | None) -> None:
        """Remove what neither serves nor is the previous run's; lists that served a moment ago are left some time."""
        if served is not None and (not self._keep_previous or served.id == self._publication.run):
            let_readers_finish()
        model = self._publication.model
        self._report.dropped = drop_superseded(self._connection, model, keep_previous=self._keep_previous)
        if not self._keep_previous:
            self._report.previous = None


def plan(connection: Connection, publication: Publication) -> tuple[RunRecord, RunRecord | None]:
    """Return the record that a publication shall have, and the one that its run has in the graph, if any.

    Raises:
        GraphError: the run's id or one of its names belongs to something else.
    """
    planned = catalog.planned_record(
        publication, vectors_digest=_vectors_digest(publication), lists_digest=_lists_digest(publication)
    )
    return planned, find_own(connection, planned)


def find_own(connection: Connection, planned: RunRecord) -> RunRecord | None:
    """Return the record that a planned run has in the graph, if any; raises where its names belong to others."""
    found = catalog.find_run(connection, planned.id)
    if found is None:
        catalog.check_own_property(connection, planned)
    else:
        _check_same_run(found, planned)
    check_index_names(connection, planned)
    return found


def look_up_nodes(connection: Connection, schema: GraphSchema, publication: Publication) -> dict[str, NodeLookup]:
    """Look up the nodes that a publication writes about; return label → how they are found."""
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
        label: find_nodes(connection, label, key_of[label], np.concatenate(arrays).tolist())
        for label, arrays in wanted.items()
    }


def _check_same_run(found: RunRecord, planned: RunRecord) -> None:
    """Raise GraphError where the run in the graph is another one under the same id."""
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


def has_same_vectors(planned: RunRecord, found: RunRecord | None) -> bool:
    """Tell whether the vectors in the graph, as far as they were written, are those that are planned."""
    return found is not None and found.vectors_digest == planned.vectors_digest


def has_same_lists(planned: RunRecord, found: RunRecord | None) -> bool:
    """Tell whether a run in the graph has lists that were whole once, and they are those that are planned."""
    return found is not None and found.edition is not None and found.lists_digest == planned.lists_digest


def _vectors_digest(publication: Publication) -> str:
    """Return the sha256 of a publication's vectors, those of relations included."""
    parts = [part for nodes in publication.vectors for part in (nodes.label, nodes.keys, nodes.vectors)]
    if publication.relations is not None:
        parts.append(publication.relations.names)
        parts += [part for pair in publication.relations.tensors.items() for part in pair]
    return fingerprint(*parts)


def _lists_digest(publication: Publication) -> str:
    """Return the sha256 of a publication's lists, those of similar nodes included."""
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


def _few(names: list[str], shown: int = 2) -> str:
    """Return some names as text, and how many more there are."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return (", ".join(names[:shown]) or "none") + more


def _samples(label: str, keys: list, already: list[str]) -> list[str]:
    return [f"{label} {key!r}" for key in keys[: max(0, _SAMPLE_KEYS - len(already))]]
