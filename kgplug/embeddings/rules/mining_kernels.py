"""Compiled loops (numba) that count how often the condition of a rule holds, and how often its conclusion also does."""

from __future__ import annotations

import numba
import numpy as np

from kgplug.embeddings.rules.edges import Edges, Pairs


@numba.njit(cache=True, nogil=True)
def count_steps(pairs: Pairs, lowest: int, support: np.ndarray) -> None:
    """Count the pairs (X, Y) that are connected both by a relation h and by a step s ≠ h.

    A step is a relation in one direction.

    Args:
        pairs: The edges.
        lowest: Lowest index of the m relations h that are counted.
        support: int32 (m, n_steps), counts, increased in place. Row i is for the relation h = lowest + i, column s for
            the step s.
    """
    highest = lowest + len(support)
    for x in range(len(pairs.bounds) - 1):
        first, stop = pairs.bounds[x], pairs.bounds[x + 1]
        while first < stop:
            last = first
            while last < stop and pairs.ends[last] == pairs.ends[first]:
                last += 1
            for i in range(first, last):
                if lowest <= pairs.steps[i] < highest:
                    for j in range(first, last):
                        if i != j:
                            support[pairs.steps[i] - lowest, pairs.steps[j]] += 1
            first = last


@numba.njit(cache=True, nogil=True)
def count_paths(
    edges: Edges,
    pairs: Pairs,
    chosen: np.ndarray,
    lowest: int,
    bodies: np.ndarray,
    support: np.ndarray,
    cells: np.ndarray,
) -> int:
    """Count the pairs (X, Y) that a path X → Z → Y connects, and how many of these a relation h connects as well.

    A pair counts once, even if several entities Z connect it. X and Y are different entities.

    Args:
        edges, pairs: The edges.
        chosen: int64 (n,), segments of the first step. Each contains all edges of this step from an entity X.
        lowest: Lowest index of the m relations h that are counted.
        bodies: int64 (n_steps,), number of pairs for each second step, increased in place.
        support: int32 (n_steps · m,), output: position s · m + i is the number of pairs for the second step s and the
            relation h = lowest + i. It must be zero before the call.
        cells: int32 (n_steps · m,), output: the positions in `support` that are no longer zero.

    Returns:
        The number of positions written to `cells`.
    """
    n_entities, n_steps, n_cells = len(edges.segments) - 1, len(bodies), 0
    width = len(support) // n_steps
    highest = lowest + width
    places = np.full(n_entities, -1, dtype=np.int64)  # first edge X → Y in `pairs`, for the current X
    seen, stamp = np.zeros(n_entities, dtype=np.int64), 0  # `stamp` where Y is counted for the current X and step
    # Linked lists of the segments to follow: the last segment for each second step, and the one before each segment.
    waiting = np.full(n_steps, -1, dtype=np.int64)
    before = np.full(len(edges.steps), -1, dtype=np.int64)
    for segment in chosen:
        x = edges.starts[segment]
        first, last = pairs.bounds[x], pairs.bounds[x + 1]
        for i in range(last - 1, first - 1, -1):
            places[pairs.ends[i]] = i
        lowest_step, highest_step = n_steps, -1
        for edge in range(edges.bounds[segment], edges.bounds[segment + 1]):
            z = edges.ends[edge]
            for other in range(edges.segments[z], edges.segments[z + 1]):
                step = edges.steps[other]
                before[other], waiting[step] = waiting[step], other
                lowest_step, highest_step = min(lowest_step, step), max(highest_step, step)
        for step in range(lowest_step, highest_step + 1):
            other, waiting[step] = waiting[step], -1
            stamp += 1
            while other >= 0:
                for edge in range(edges.bounds[other], edges.bounds[other + 1]):
                    y = edges.ends[edge]
                    if seen[y] == stamp or y == x:
                        continue
                    seen[y] = stamp
                    bodies[step] += 1
                    i = places[y]
                    while 0 <= i < last and pairs.ends[i] == y and pairs.steps[i] < highest:
                        if pairs.steps[i] >= lowest:
                            cell = step * width + pairs.steps[i] - lowest
                            if support[cell] == 0:
                                cells[n_cells] = cell
                                n_cells += 1
                            support[cell] += 1
                        i += 1
                other = before[other]
        for i in range(first, last):
            places[pairs.ends[i]] = -1
    return n_cells


@numba.njit(cache=True, nogil=True)
def count_conditions(
    edges: Edges,
    targets: np.ndarray,
    used: np.ndarray,
    sizes: np.ndarray,
    counts: np.ndarray,
    touched: np.ndarray,
    scale: float,
    min_support: int,
    min_confidence: float,
    pc: float,
    histogram: np.ndarray,
    found: np.ndarray,
    n_found: int,
) -> int:
    """Find the rules "an entity that meets the condition also meets the target".

    Conditions are numbered as in `Edges.sizes`: each requires an edge to a given entity or to any entity. A target is
    also a condition. The confidence of a rule is support / (size of the condition + pc), where the support is the
    number of entities that meet both.

    Args:
        edges: The edges.
        targets: int64 (n,), the targets for which to find rules.
        used: bool (n_entities,), whether an entity is counted (false for entities outside of the sample).
        sizes: int64 (n_conditions,), number of entities that meet each condition.
        counts, touched: int32 and int64 (n_conditions,), work space; `counts` is zero before and after.
        scale: Number of all entities per counted entity. The counts are multiplied by it to estimate the support.
        min_support: Minimum number of counted entities that meet both.
        min_confidence: Minimum confidence.
        pc: Laplace correction of the confidence.
        histogram: int64 (n_bins,), number of rules by confidence, increased in place.
        found: int32 (m, 3), output: rules from row `n_found` on, columns target, condition and support. Rules for
            which `found` has no row left are only counted.
        n_found: Number of rules that earlier calls found.

    Returns:
        The number of rules found by this and earlier calls.
    """
    n_segments = len(edges.steps)
    for target in targets:
        n_touched = 0
        for place in range(edges.bounds[target], edges.bounds[target + 1]):
            x = edges.ends[place]
            if not used[x]:
                continue
            for segment in range(edges.segments[x], edges.segments[x + 1]):
                for edge in range(edges.bounds[segment], edges.bounds[segment + 1] + 1):
                    last = edge == edges.bounds[segment + 1]
                    condition = n_segments + edges.steps[segment] if last else np.int64(edges.reverse[edge])
                    if counts[condition] == 0:
                        touched[n_touched] = condition
                        n_touched += 1
                    counts[condition] += 1
        for i in range(n_touched):
            condition, count = touched[i], counts[touched[i]]
            counts[condition] = 0
            if count < min_support or condition == target:
                continue
            support = min(np.int64(count * scale + 0.5), sizes[condition])
            confidence = support / (sizes[condition] + pc)
            if confidence < min_confidence:
                continue
            histogram[min(np.int64(confidence * len(histogram)), len(histogram) - 1)] += 1
            if n_found < len(found):
                found[n_found, 0], found[n_found, 1], found[n_found, 2] = target, condition, support
            n_found += 1
    return n_found
