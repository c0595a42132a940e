"""Write a run into the graph next to the one that serves, then let it serve.

A publish goes through these steps, and may be interrupted at any point:

    check      check the publication, the graph and the privileges before the first write
    vectors    write the vectors into a node property that belongs to this run alone
    relations  write a catalogue node per relation, with the relation's vectors
    lists      write RECOMMENDS edges with a new edition number
    similar    write SIMILAR_TO edges with the same edition number
    count      count the edges of each type; if a number is wrong, rewrite the lists that differ
    index      create the vector indexes of this run, and wait until they are ready
    switch     set `serves` and `edition` of the model's node in one transaction (`kgplug.graph.catalog`)
    clean up   delete older runs, and runs whose publish was interrupted

Indexes are created late, because each change of indexes makes the server plan every query again. Until the switch, the
run that served before keeps serving, unchanged. Publishing a run again does only the work that is left. While it
writes, the publisher holds a lease on the model, which keeps other publishers out.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace

from kgplug.data.erasure.erased_keys import is_erased
from kgplug.data.publication import Publication, TopLists
from kgplug.errors import when_interrupted
from kgplug.graph import catalog
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.catalog import RunRecord
from kgplug.graph.privileges import require_publish
from kgplug.graph.publishing.lease import LEASE_MS, Lease, leased
from kgplug.graph.publishing.plan import Plan, find_own, has_same_lists, has_same_vectors, plan
from kgplug.graph.publishing.removing.clean import drop_superseded, let_readers_finish
from kgplug.graph.publishing.report import PublishReport
from kgplug.graph.publishing.writing.lists import Edition, ListCounts, count_edges, write_lists
from kgplug.graph.publishing.writing.relations import write_relations
from kgplug.graph.publishing.writing.vectors import create_indexes, wait_for_indexes, write_vectors
from kgplug.graph.schema import GraphSchema

_SAMPLE_KEYS = 5
USUAL_RATES = {"vectors": 8_000, "edges": 15_000}  # per second; a dry run assumes these before the first publish


def write(
    plan: Plan, *, keep_previous: bool = True, progress: bool | None = None, index_timeout_s: float = 300
) -> PublishReport:
    """Write vectors and lists of a run into the graph and serve it under its model's name.

    Args:
        plan: checked plan of what to write.
        keep_previous: keep the run that serves now, for `rollback`; otherwise delete it when the new one serves.
        progress: Whether to show progress bars. None: only on a terminal.
        index_timeout_s: maximum number of seconds without progress in building a vector index.

    Raises:
        GraphError: a privilege is missing, somebody else is publishing this model, an index does not become ready, or
            the server reports an error. If this happens before the switch, the run that served before still serves.
    """
    require_publish(plan.connection)
    catalog.ensure_constraints(plan.connection)  # the first write: a missing privilege shows here
    return _Writer(plan, keep_previous=keep_previous, progress=progress).write(index_timeout_s)


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
    """Plan and write a publication; arguments and errors are those of `plan` and `write`."""
    planned = plan(connection, schema, publication, replace=replace)
    return write(planned, keep_previous=keep_previous, progress=progress, index_timeout_s=index_timeout_s)


class _Writer:
    """The execution of a plan, step by step. Each step adds its numbers to the report."""

    def __init__(self, plan: Plan, *, keep_previous: bool, progress: bool | None) -> None:
        self._connection, self._publication = plan.connection, plan.publication
        self._planned, self._lookups = plan.record, plan.lookups
        self._keep_previous, self._progress = keep_previous, progress
        self._report = PublishReport(
            plan.publication.model,
            plan.publication.run,
            not_nodes=plan.publication.not_nodes,
            seconds={"check": plan.seconds},
        )
        self._missing: set[tuple[str, int | str]] = set()
        self._has_begun = False

    def write(self, index_timeout_s: float) -> PublishReport:
        with leased(self._connection, self._publication.model) as lease, when_interrupted(self._what_is_left):
            with self._step("vectors"):
                record, found = self._begin(lease)
                self._has_begun = True
                self._write_vectors(record, lease, only_missing=has_same_vectors(record, found))
            with self._step("relations"):
                self._report.relations = write_relations(
                    self._connection,
                    record.id,
                    self._publication.relations,
                    only_missing=has_same_vectors(record, found),
                )
            self._write_all_lists(record, lease, compare=found is not None)
            with self._step("index"):
                self._report.indexes = create_indexes(self._connection, record)
                wait_for_indexes(
                    self._connection, self._report.indexes, timeout_s=index_timeout_s, progress=self._progress
                )
            with self._step("switch"):
                serves = self._switch(record, lease)
            with self._step("clean up"):
                self._clean_up(serves)
        return self._report

    def _what_is_left(self) -> str | None:
        return "Run the same command again to finish." if self._has_begun else None

    @contextmanager
    def _step(self, name: str) -> Generator[None]:
        began = time.perf_counter()
        yield
        self._report.seconds[name] = self._report.seconds.get(name, 0.0) + time.perf_counter() - began

    def _begin(self, lease: Lease) -> tuple[RunRecord, RunRecord | None]:
        """Write the run's record into the catalogue, before the vectors and lists are written.

        If the lists have changed, the record gets a new edition number, because served lists are never modified. If
        the vectors have changed, their digest is added to the record only when all of them are written.

        Returns:
            (planned, found): the planned record with the numbers that the catalogue gave it, and the record that the
            run had before this publish, None if the run is new.
        """
        planned = self._planned
        found = find_own(self._connection, planned)  # again, because the run may have been published since the check
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
        """Write RECOMMENDS and SIMILAR_TO edges and count them.

        With `compare`, write only lists that differ from those already in the graph.
        """
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
        """Count the edges in the graph. If `written` expects another number, rewrite the lists that are wrong."""
        with self._step("count"):
            if count_edges(self._connection, edge, edition) != sum(counts.expected for counts in written):
                write_lists(
                    self._connection, edge, edition, lists, self._lookups, compare=True, progress=self._progress
                )

    def _count_missing(self, label: str, keys: list[int | str]) -> None:
        """Record in the report that these keys have no node. Each key counts once; erased users do not count."""
        new = [key for key in keys if (label, key) not in self._missing and not is_erased(key)]
        self._missing.update((label, key) for key in new)
        self._report.missing += len(new)
        self._report.missing_keys += _samples(label, new, self._report.missing_keys)

    def _switch(self, record: RunRecord, lease: Lease) -> RunRecord | None:
        """Make the run serve. Return the record that served before.

        Return None if no run served, or if this run already served with the same lists.
        """
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
        """Delete all runs except the serving and the previous one.

        If this deletes lists that served until now, wait first, so that queries that still read them can finish.
        `served` is the record that served until now; None if no run served or nothing changed.
        """
        if served is not None and (not self._keep_previous or served.id == self._publication.run):
            let_readers_finish()
        model = self._publication.model
        self._report.dropped = drop_superseded(self._connection, model, keep_previous=self._keep_previous)
        if not self._keep_previous:
            self._report.previous = None


def _samples(label: str, keys: list[int | str], already: list[str]) -> list[str]:
    return [f"{label} {key!r}" for key in keys[: max(0, _SAMPLE_KEYS - len(already))]]
