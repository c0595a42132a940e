"""Tell what a publish would do, and do nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kgplug.data.erased_items import is_erased
from kgplug.data.publication import Publication, TopLists, usable_rows
from kgplug.data.ranking.list_difference import ListDifference, compare_lists
from kgplug.graph import catalog
from kgplug.graph.connection import Connection
from kgplug.graph.publishing.check import check_publication
from kgplug.graph.publishing.conflicts import check_constraints, check_name
from kgplug.graph.publishing.lists import Edition, read_lists
from kgplug.graph.publishing.publisher import (
    USUAL_RATES,
    has_same_lists,
    has_same_vectors,
    look_up_nodes,
    plan,
)
from kgplug.graph.schema import GraphSchema
from kgplug.plain_text import counted

# What `benchmarks/serving.py` measures of Neo4j 5.26's store; a number of a vector costs more than its 8 bytes, as it
# stands in the vector index, too.
_BYTES_AN_EDGE, _BYTES_A_NUMBER = 160, 15


@dataclass(frozen=True)
class Preview:
    """What a publish would write.

    Attributes:
        model, run: that would be published.
        serves: run that serves now, None if none does.
        lists: how the RECOMMENDS lists would change.
        edges: RECOMMENDS and SIMILAR_TO edges that would be written.
        vectors: that would be written.
        missing: nodes that the model knows and the graph has not.
        seconds: estimated, by the rates of the model's last publish.
        store_bytes: estimated growth of the store; the run before the serving one is removed after it.
    """

    model: str
    run: str
    serves: str | None
    lists: ListDifference
    edges: int
    vectors: int
    missing: int
    seconds: float
    store_bytes: int

    def to_dict(self) -> dict:
        """Return all of it, JSON-able."""
        return {**self.__dict__, "lists": self.lists.to_dict()}

    def __str__(self) -> str:
        return "\n".join(self._sentences())

    __repr__ = __str__  # what a notebook answers

    def _sentences(self) -> Iterator[str]:
        yield "Dry run: nothing was written."
        if self.serves == self.run:
            yield f"{self.model} is served by this run, {self.run}."
        else:
            yield f"{self.model} would be served by run {self.run}, now {self.serves or 'none'}."
        yield str(self.lists)
        yield f"To write: {counted(self.edges, 'edge')}, {counted(self.vectors, 'vector')}."
        if self.missing:
            nodes = "node that is" if self.missing == 1 else "nodes that are"
            yield f"{self.missing:,} {nodes} not in the graph would be passed over."
        megabytes = self.store_bytes / 2**20
        seconds = max(1, round(self.seconds))
        yield f"About {seconds:,} s, and {megabytes:,.1f} MB more in the store while both runs stand."


def preview(connection: Connection, schema: GraphSchema, publication: Publication, *, replace: bool = False) -> Preview:
    """Look up what `publish` would change; raises what it would raise before its first write."""
    check_publication(publication)
    check_name(connection, schema, publication, replace=replace)
    check_constraints(connection, publication)
    lookups = look_up_nodes(connection, schema, publication)
    planned, found = plan(connection, publication)
    serving = catalog.serving_run(connection, publication.model)
    wanted = publication.lists
    difference, n_edges, missing = ListDifference(), 0, 0
    if wanted is not None:
        users, items = lookups[wanted.user_label], lookups[wanted.item_label]
        there = _in_the_graph(wanted, users.present(wanted.user_keys), items.present(wanted.item_keys))
        absent = (
            wanted.user_keys[~users.present(wanted.user_keys)],
            wanted.item_keys[~items.present(wanted.item_keys)],
        )
        missing = sum(not is_erased(key) for keys in absent for key in keys)
        before = _no_lists(wanted)
        if serving is not None and serving.edition is not None:
            edition = Edition(serving.model, serving.id, serving.edition)
            before = read_lists(connection, catalog.RECOMMENDS, edition, users, items)
        difference, n_edges = compare_lists(before, there), int((there.items >= 0).sum())
    for lists in publication.similar:
        n_edges += int((lists.items >= 0).sum())
    if has_same_lists(planned, found):
        n_edges = 0
    to_write = [] if has_same_vectors(planned, found) else publication.vectors
    usable = [(int(usable_rows(nodes.vectors).sum()), nodes.vectors.shape[1]) for nodes in to_write]
    n_vectors, numbers = sum(n for n, _ in usable), sum(n * d for n, d in usable)
    rates = {**USUAL_RATES, **(serving.rates if serving else {})}
    return Preview(
        publication.model,
        publication.run,
        serving.id if serving else None,
        difference,
        n_edges,
        n_vectors,
        missing,
        n_edges / rates["edges"] + n_vectors / rates["vectors"],
        n_edges * _BYTES_AN_EDGE + numbers * _BYTES_A_NUMBER,
    )


def _no_lists(like: TopLists) -> TopLists:
    """Return lists of nobody, among the same kinds of nodes."""
    none = np.empty(0, dtype=object)
    items, scores = np.empty((0, 0), dtype=np.int64), np.empty((0, 0), dtype=np.float32)
    return TopLists(like.user_label, like.item_label, none, none, items, scores)


def _in_the_graph(lists: TopLists, users: np.ndarray, items: np.ndarray) -> TopLists:
    """Return lists without users and items that have no node; -1 in their place."""
    kept = (lists.items >= 0) & items[lists.items] & users[:, None]
    # What is left of a list closes up, as it does when it is written.
    order = np.argsort(~kept, axis=1, kind="stable")
    closed = np.take_along_axis(np.where(kept, lists.items, -1), order, axis=1)
    return TopLists(lists.user_label, lists.item_label, lists.user_keys, lists.item_keys, closed, lists.scores)
