"""The edges of a graph in both directions, sorted so that rules can be applied by reading slices of arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Edges(NamedTuple):
    """Edges in both directions. A step is a relation in one direction: r for h → t, and r + n_relations for t → h.

    A segment consists of the edges of one step that start at the same entity. It also stands for a condition on other
    entities: an entity meets the condition if one of the segment's edges ends there. For example, the segment of the
    step DIRECTED from Hitchcock stands for the condition "directed by Hitchcock".

    Triples with equal head and tail are left out. Ranges below exclude their end.

    Attributes:
        n_relations: Number of relations.
        ends: int32 (n_edges,), end of each edge, sorted by start, step and end. n_edges is twice the number of triples.
        starts, steps: int32 (n_segments,), start and step of each segment.
        bounds: int64 (n_segments + 1,). The edges of segment i are those from bounds[i] to bounds[i + 1].
        segments: int64 (n_entities + 1,). The segments of entity x are those from segments[x] to segments[x + 1].
        by_step: int64 (n_segments,), the segments sorted by step.
        step_bounds: int64 (n_steps + 1,). The segments of step s are by_step[step_bounds[s] : step_bounds[s + 1]].
        reverse: int32 (n_edges,), for each edge, the segment that contains the same edge in the other direction.
    """

    n_relations: int
    ends: np.ndarray
    starts: np.ndarray
    steps: np.ndarray
    bounds: np.ndarray
    segments: np.ndarray
    by_step: np.ndarray
    step_bounds: np.ndarray
    reverse: np.ndarray

    @classmethod
    def of_triples(cls, triples: np.ndarray, *, n_entities: int, n_relations: int) -> Edges:
        """Return the edges of triples, int64 (n, 3). Repeated triples count once."""
        heads, relations, tails = triples[triples[:, 0] != triples[:, 2]].T
        n_steps = 2 * n_relations
        start, end = np.concatenate([heads, tails]), np.concatenate([tails, heads])
        keys = start * n_steps + np.concatenate([relations, relations + n_relations])
        order = np.lexsort((end, keys))
        end, keys = end[order], keys[order]
        new = (np.diff(keys, prepend=-1) != 0) | (np.diff(end, prepend=-1) != 0)
        end, keys = end[new], keys[new]
        first = np.flatnonzero(np.diff(keys, prepend=-1))
        of_segments = keys[first]
        starts, steps = np.divmod(of_segments, n_steps)
        inverse = (keys % n_steps + n_relations) % n_steps
        return cls(
            n_relations=n_relations,
            ends=end.astype(np.int32),
            starts=starts.astype(np.int32),
            steps=steps.astype(np.int32),
            bounds=np.append(first, len(keys)),
            segments=np.searchsorted(starts, np.arange(n_entities + 1)),
            by_step=np.argsort(steps, kind="stable"),
            step_bounds=np.searchsorted(np.sort(steps), np.arange(n_steps + 1)),
            reverse=np.searchsorted(of_segments, end * n_steps + inverse).astype(np.int32),
        )

    @property
    def n_steps(self) -> int:
        """Number of steps: two per relation."""
        return 2 * self.n_relations

    @property
    def degrees(self) -> np.ndarray:
        """Number of edges of each entity, int64 (n_entities,)."""
        return np.diff(self.bounds[self.segments])

    @property
    def sizes(self) -> np.ndarray:
        """Number of entities that meet each condition, int64 (n_segments + n_steps,).

        A condition requires an edge of one step, a relation in one direction. Conditions 0 to n_segments - 1 are the
        segments, which require an edge to a given entity. Condition n_segments + s requires an edge of step s to any
        entity.
        """
        return np.concatenate([np.diff(self.bounds), np.diff(self.step_bounds)])

    def segments_of(self, entities: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """Return the segment of each pair (entity, step): int64 (n,), -1 where there is none.

        A step is a relation in one direction. A segment consists of all edges of the step that start at the entity.
        """
        keys = self.starts.astype(np.int64) * self.n_steps + self.steps
        wanted = np.asarray(entities, dtype=np.int64) * self.n_steps + steps
        if len(keys) == 0:
            return np.full(len(wanted), -1)
        found = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where(keys[found] == wanted, found, -1)

    def inverse(self, steps: np.ndarray) -> np.ndarray:
        """Return the inverse steps, the same relations in the other direction: int (n,) → int (n,)."""
        return (steps + self.n_relations) % self.n_steps


class Pairs(NamedTuple):
    """The edges of `Edges`, sorted by start, end and step, so that all edges between two entities are adjacent.

    Attributes:
        bounds: int64 (n_entities + 1,). The edges from entity x are those from bounds[x] to bounds[x + 1] - 1.
        ends, steps: int32 (n_edges,), end and step of each edge.
    """

    bounds: np.ndarray
    ends: np.ndarray
    steps: np.ndarray

    @classmethod
    def of_edges(cls, edges: Edges) -> Pairs:
        """Return the edges of `edges`, sorted by start, end and step."""
        sizes = np.diff(edges.bounds)
        starts, steps = np.repeat(edges.starts, sizes), np.repeat(edges.steps, sizes)
        order = np.lexsort((steps, edges.ends, starts))
        return cls(edges.bounds[edges.segments], edges.ends[order], steps[order])
