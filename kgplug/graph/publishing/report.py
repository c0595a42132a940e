"""The report of a publish."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from kgplug.plain_text import counted


@dataclass
class PublishReport:
    """The result of a publish.

    Attributes:
        model, run: name of the model and id of the run.
        vectors, vectors_kept: number of vectors written, and number already there.
        vectors_skipped: number of vectors not written because they are zero or not finite.
        not_nodes: label → number of vectors not written because these entities are values of properties, not nodes.
        relations: number of relations whose vectors were written into the catalogue.
        lists, lists_kept: number of users' lists written, and number already there. Empty lists are counted.
        edges: number of RECOMMENDS edges created.
        similar, similar_kept, similar_edges: like `lists`, `lists_kept` and `edges`, but for SIMILAR_TO edges.
        missing: number of nodes that the model knows but the graph does not have; nothing was written for them.
        vanished: number of vectors and edges not written because their nodes were deleted during the publish.
        skipped_keys, missing_keys: examples of the skipped and the missing nodes by label and key, such as "Movie 17".
        indexes: names of the run's vector indexes.
        previous: id of the run that served before and is kept for `rollback`; None if there is none.
        dropped: ids of deleted runs: older ones, and runs whose publish was interrupted.
        seconds: step → wall time in seconds.
    """

    model: str
    run: str
    vectors: int = 0
    vectors_kept: int = 0
    vectors_skipped: int = 0
    not_nodes: dict[str, int] = field(default_factory=dict[str, int])
    relations: int = 0
    lists: int = 0
    lists_kept: int = 0
    edges: int = 0
    similar: int = 0
    similar_kept: int = 0
    similar_edges: int = 0
    missing: int = 0
    vanished: int = 0
    skipped_keys: list[str] = field(default_factory=list[str])
    missing_keys: list[str] = field(default_factory=list[str])
    indexes: list[str] = field(default_factory=list[str])
    previous: str | None = None
    dropped: list[str] = field(default_factory=list[str])
    seconds: dict[str, float] = field(default_factory=dict[str, float])

    @property
    def vectors_per_s(self) -> float:
        """Number of vectors written per second, without the time to build the index."""
        return self.vectors / max(self.seconds.get("vectors", 0.0), 1e-9)

    @property
    def edges_per_s(self) -> float:
        """Number of RECOMMENDS edges written per second."""
        return self.edges / max(self.seconds.get("lists", 0.0), 1e-9)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as a JSON-able dict."""
        return {**asdict(self), "vectors_per_s": self.vectors_per_s, "edges_per_s": self.edges_per_s}

    def __str__(self) -> str:
        return "\n".join(self._sentences())

    __repr__ = __str__  # what a notebook shows

    def _sentences(self) -> Iterator[str]:
        yield f"{self.model} is served by run {self.run} ({sum(self.seconds.values()):.1f} s)."
        if self.vectors or self.vectors_kept:
            kept = f", {self.vectors_kept:,} were already there" if self.vectors_kept else ""
            yield f"Vectors: {self.vectors:,} written{kept}; vector indexes: {_few(self.indexes)}."
        if self.lists or self.lists_kept:
            kept = f", {self.lists_kept:,} were already there" if self.lists_kept else ""
            yield f"Lists: {counted(self.lists, 'user')} written ({counted(self.edges, 'edge')}){kept}."
        if self.similar or self.similar_kept:
            kept = f", {self.similar_kept:,} were already there" if self.similar_kept else ""
            edges = counted(self.similar_edges, "edge")
            yield f"Similar nodes: lists of {counted(self.similar, 'node')} written ({edges}){kept}."
        if self.vectors_skipped:
            named = ", ".join(self.skipped_keys)
            yield f"Skipped {counted(self.vectors_skipped, 'vector')} (zero or not finite), such as {named}."
        if self.not_nodes:
            n, named = sum(self.not_nodes.values()), _few(sorted(self.not_nodes))
            yield f"Skipped {counted(n, 'vector')} of values of properties ({named}), which are not nodes."
        if self.missing:
            named = ", ".join(self.missing_keys)
            are = "node that is" if self.missing == 1 else "nodes that are"
            such = "" if self.missing == 1 else "such as "
            yield f"Skipped {self.missing:,} {are} not in the graph: {such}{named}."
        if self.vanished:
            yield f"Not written: {self.vanished:,} vectors and edges whose nodes were deleted meanwhile."
        if self.previous:
            command = f"kgplug rollback {shlex.quote(self.model)}"
            yield f"Run {self.previous} served before and is kept: `{command}` returns to it."
        if self.dropped:
            yield f"Deleted: {', '.join(self.dropped)}."


def _few(names: list[str], shown: int = 2) -> str:
    """Return a text with the first `shown` names, followed by the number of the others, such as "a, b and 3 more"."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return (", ".join(names[:shown]) or "none") + more
