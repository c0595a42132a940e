"""Preview what a publish would change, without writing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from kgplug.data.erasure.erased_keys import is_erased
from kgplug.data.publication import Publication, TopLists, usable_rows
from kgplug.data.ranking.list_difference import ListDifference, compare_lists
from kgplug.graph import catalog
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.catalog import RunRecord
from kgplug.graph.publishing.plan import Plan, has_same_lists, has_same_vectors, plan
from kgplug.graph.publishing.publisher import USUAL_RATES
from kgplug.graph.publishing.writing.lists import Edition, read_lists
from kgplug.graph.schema import GraphSchema
from kgplug.plain_text import counted

# Measured by `benchmarks/serving.py` with Neo4j 5.26. Each number is stored twice: in the vector and in its index.
_BYTES_PER_EDGE, _BYTES_PER_NUMBER = 160, 15


@dataclass(frozen=True)
class Preview:
    """What a publish would write.

    Attributes:
        model, run: name of the model and id of the run that would be published.
        serves: id of the run that serves under this model's name now; None if no run serves.
        lists: how the RECOMMENDS lists would change.
        edges: number of RECOMMENDS and SIMILAR_TO edges that would be written.
        vectors: number of vectors that would be written.
        missing: number of users and items that the model knows but the graph does not have; 0 for a model without
            lists.
        seconds: estimated duration in seconds, from the speed at which the serving run was written, or from usual
            speeds if no run serves.
        store_bytes: estimated growth of the database in bytes, until the oldest run is deleted.
        not_nodes: number of vectors that would be left out, because these entities are values of properties.
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
    not_nodes: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the preview as a JSON-able dict."""
        return {**self.__dict__, "lists": self.lists.to_dict()}

    def __str__(self) -> str:
        return "\n".join(self._sentences())

    __repr__ = __str__  # what a notebook shows

    def _sentences(self) -> Iterator[str]:
        yield "Dry run: nothing was written."
        if self.serves == self.run:
            yield f"{self.model} is served by this run already, {self.run}."
        else:
            yield f"{self.model} would be served by run {self.run}, now {self.serves or 'none'}."
        yield str(self.lists)
        yield f"To write: {counted(self.edges, 'edge')}, {counted(self.vectors, 'vector')}."
        if self.missing:
            nodes = "node that is" if self.missing == 1 else "nodes that are"
            yield f"{self.missing:,} {nodes} not in the graph would be skipped."
        if self.not_nodes:
            yield f"{counted(self.not_nodes, 'vector')} of values of properties would be skipped: they are not nodes."
        megabytes = self.store_bytes / 2**20
        seconds = max(1, round(self.seconds))
        yield f"About {seconds:,} s, and {megabytes:,.1f} MB more in the store while both runs are there."


def preview(connection: Connection, schema: GraphSchema, publication: Publication, *, replace: bool = False) -> Preview:
    """Return what `publish` with the same arguments would change. If a check fails, raise the error of `publish`."""
    return preview_of(plan(connection, schema, publication, replace=replace))


def preview_of(planned: Plan) -> Preview:
    """Return what writing a plan would change."""
    publication = planned.publication
    serving = catalog.serving_run(planned.connection, publication.model)
    difference, n_edges, missing = _changed_lists(planned, serving)
    n_edges += sum(int((lists.items >= 0).sum()) for lists in publication.similar)
    if has_same_lists(planned.record, planned.found):
        n_edges = 0
    to_write = [] if has_same_vectors(planned.record, planned.found) else publication.vectors
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
        n_edges * _BYTES_PER_EDGE + numbers * _BYTES_PER_NUMBER,
        sum(publication.not_nodes.values()),
    )


def _changed_lists(planned: Plan, serving: RunRecord | None) -> tuple[ListDifference, int, int]:
    """Return how the RECOMMENDS lists would change, how many edges they would have, and `Preview.missing`."""
    wanted = planned.publication.lists
    if wanted is None:
        return ListDifference(), 0, 0
    users, items = planned.lookups[wanted.user_label], planned.lookups[wanted.item_label]
    has_user, has_item = users.present(wanted.user_keys), items.present(wanted.item_keys)
    missing = sum(
        not is_erased(key) for keys in (wanted.user_keys[~has_user], wanted.item_keys[~has_item]) for key in keys
    )
    after, before = _in_the_graph(wanted, has_user, has_item), _no_lists(wanted)
    if serving is not None and serving.edition is not None:
        edition = Edition(serving.model, serving.id, serving.edition)
        before = read_lists(planned.connection, catalog.RECOMMENDS, edition, users, items)
    return compare_lists(before, after), int((after.items >= 0).sum()), missing


def _no_lists(like: TopLists) -> TopLists:
    """Return lists without users or items, with the labels of `like`."""
    none = np.empty(0, dtype=object)
    items, scores = np.empty((0, 0), dtype=np.int64), np.empty((0, 0), dtype=np.float32)
    return TopLists(like.user_label, like.item_label, none, none, items, scores)


def _in_the_graph(lists: TopLists, users: np.ndarray, items: np.ndarray) -> TopLists:
    """Return the lists without items that have no node; the list of a user without a node becomes empty.

    `users`, bool (n_users,), and `items`, bool (n_items,), mark those with a node. The scores are returned unchanged,
    so they no longer match the items.
    """
    kept = (lists.items >= 0) & items[lists.items] & users[:, None]
    # Gaps move to the end of a list, as when it is written.
    order = np.argsort(~kept, axis=1, kind="stable")
    closed = np.take_along_axis(np.where(kept, lists.items, -1), order, axis=1)
    return TopLists(lists.user_label, lists.item_label, lists.user_keys, lists.item_keys, closed, lists.scores)
