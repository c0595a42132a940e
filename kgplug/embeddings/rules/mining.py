"""Mining of rules from triples, with exact counts or, on large graphs, with counts on a sample."""

from __future__ import annotations

import math

import numpy as np

from kgplug.embeddings.rules.edges import Edges, Pairs
from kgplug.embeddings.rules.mining_kernels import count_conditions, count_paths, count_steps
from kgplug.embeddings.rules.rule_set import NONE, RuleSet
from kgplug.progress import Progress
from kgplug.progress import bar as progress_bar

_COUNTS = 50_000_000  # counts of paths in memory at a time: 400 MB, including the list of counts that are not zero
_BINS = 1000  # bins of a histogram of confidence, to find the threshold that leaves at most `max_rules` rules


def mine(
    edges: Edges,
    *,
    min_support: int,
    min_confidence: float,
    pc: float,
    max_rules: int,
    max_steps: float,
    seed: int,
    progress: bool | None = None,
) -> tuple[RuleSet, float]:
    """Mine all rules of length 1 and 2 (`RuleSet`).

    There are two kinds. A path rule says: if a path of one or two edges leads from X to Y, then a certain relation
    holds between X and Y. A fact rule says: if X has a certain edge, then X also has another edge to a given entity.
    Example: "if Ford directed X, then X has the genre Western".

    A rule's body is the number of cases in which its condition holds: pairs (X, Y) that a path connects, or entities X
    that have the edge. Its support is the number of these cases in which the conclusion holds as well. Its confidence
    is support / (body + pc), Laplace-corrected as in AnyBURL (Meilicke et al., IJCAI 2019).

    Args:
        edges: The graph.
        min_support, min_confidence: Minimum support and minimum confidence of a rule.
        pc: Number added to the body in the confidence.
        max_rules: Maximum number of fact rules. If there are more, `min_confidence` is raised in steps of 0.001 until
            at most this many are left.
        max_steps: Maximum number of edges to visit while counting, for each of the two kinds. If exact counts need
            more, relations with many edges are counted from a random sample of their start entities, and these counts
            are estimates.
        seed: Seed of the sample.
        progress: Whether to show a progress bar. None: only on a terminal.

    Returns:
        (rules, share): the mined rules, and the number of edges visited divided by the number that exact counts need.
        The share is 1 if all counts are exact. It is the lower one of the values for the two kinds.
    """
    thresholds = {"min_support": min_support, "min_confidence": min_confidence, "pc": pc}
    with progress_bar(3 * edges.n_steps, what="Mining rules", unit="step", progress=progress) as bar:
        paths, of_paths = _paths(edges, **thresholds, max_steps=max_steps, seed=seed, bar=bar)
        facts, of_facts = _facts(edges, **thresholds, max_rules=max_rules, max_steps=max_steps, seed=seed, bar=bar)
    return RuleSet(paths, facts), min(of_paths, of_facts)


def _paths(
    edges: Edges, *, min_support: int, min_confidence: float, pc: float, max_steps: float, seed: int, bar: Progress
) -> tuple[np.ndarray, float]:
    """Mine the path rules. Return `RuleSet.paths`, and the share of edges visited, as in `mine`."""
    pairs, n_steps, n_relations = Pairs.of_edges(edges), edges.n_steps, edges.n_relations
    costs = _sums(edges.degrees[edges.ends], edges.bounds)  # (n_segments,), number of possible second edges
    chosen, share = _samples(edges, costs, max_steps, seed)
    step_sizes = np.bincount(edges.steps, np.diff(edges.bounds), minlength=n_steps).astype(np.int64)
    width = max(1, _COUNTS // n_steps)
    found: list[np.ndarray] = []
    for lowest in range(0, n_relations, width):
        n = min(width, n_relations - lowest)
        of_steps = np.zeros((n, n_steps), dtype=np.int32)
        count_steps(pairs, lowest, of_steps)
        heads, last = np.nonzero(of_steps >= min_support)
        none = np.full_like(last, NONE)
        found.append(np.column_stack([heads + lowest, last, none, of_steps[heads, last], step_sizes[last]]))
        support = np.zeros(n_steps * n, dtype=np.int32)
        cells = np.empty(n_steps * n, dtype=np.int32)
        for step in range(n_steps):
            starts = edges.by_step[edges.step_bounds[step] : edges.step_bounds[step + 1]]
            sample, bodies = chosen[step], np.zeros(n_steps, dtype=np.int64)
            touched = cells[: count_paths(edges, pairs, starts[sample], lowest, bodies, support, cells)]
            enough = np.sort(touched[support[touched] >= min_support])
            last, heads = np.divmod(enough, n)
            scale = len(starts) / max(1, len(sample))
            counts = np.rint(np.stack([support[enough], bodies[last]], axis=1) * scale).astype(np.int64)
            found.append(np.column_stack([heads + lowest, np.full_like(last, step), last, counts]))
            support[touched] = 0
            bar.update(n / n_relations)
    rules = np.concatenate(found) if found else np.empty((0, 5), dtype=np.int64)
    rules = rules[rules[:, 3] >= min_confidence * (rules[:, 4] + pc)]
    return rules[np.argsort(rules[:, 0], kind="stable")], share


def _facts(
    edges: Edges,
    *,
    min_support: int,
    min_confidence: float,
    pc: float,
    max_rules: int,
    max_steps: float,
    seed: int,
    bar: Progress,
) -> tuple[np.ndarray, float]:
    """Mine the fact rules. Return `RuleSet.facts`, and the share of edges visited, as in `mine`."""
    sizes, n_segments = edges.sizes, len(edges.steps)
    chosen, share = _samples(edges, edges.degrees[edges.starts], max_steps, seed)
    counts, touched = np.zeros(len(sizes), dtype=np.int32), np.empty(len(sizes), dtype=np.int64)
    used = np.zeros(len(edges.segments) - 1, dtype=bool)
    histogram = np.zeros(_BINS, dtype=np.int64)

    def count(threshold: float, found: np.ndarray) -> int:
        n_found = 0
        for step in range(edges.n_steps):
            starts = edges.by_step[edges.step_bounds[step] : edges.step_bounds[step + 1]]  # entities X with the step
            inverse = (step + edges.n_relations) % edges.n_steps
            targets = edges.by_step[edges.step_bounds[inverse] : edges.step_bounds[inverse + 1]]
            sample = starts[chosen[step]]
            used[edges.starts[sample]] = True
            n_found = count_conditions(
                edges, targets[sizes[targets] >= min_support], used, sizes, counts, touched,
                len(starts) / max(1, len(sample)), min_support, threshold, pc, histogram, found, n_found,
            )  # fmt: skip
            used[edges.starts[sample]] = False
            bar.update(1)
        return n_found

    none = np.empty((0, 3), dtype=np.int32)
    n_rules = count(min_confidence, none)
    if n_rules > max_rules:
        at_least = np.cumsum(histogram[::-1])[::-1]  # (n_bins,), number of rules from each bin on
        fitting = np.flatnonzero(at_least <= max_rules)
        min_confidence = max(min_confidence, float(fitting[0] if len(fitting) else _BINS - 1) / _BINS)
    found = np.empty((min(n_rules, max_rules), 3), dtype=np.int32)
    found = found[: count(min_confidence, found)]
    target, condition, support = found.T
    to_any = condition >= n_segments
    segment = np.where(to_any, 0, condition)
    rules = np.stack([
        edges.inverse(edges.steps[target]),
        edges.starts[target],
        np.where(to_any, condition - n_segments, edges.inverse(edges.steps[segment])),
        np.where(to_any, NONE, edges.starts[segment]),
        support,
        sizes[condition],
    ], axis=1)  # fmt: skip
    return rules.astype(np.int32), share


def _samples(edges: Edges, costs: np.ndarray, max_steps: float, seed: int) -> tuple[list[np.ndarray], float]:
    """Choose, for each step, the segments to start from, so that the total cost is at most `max_steps`.

    A step is a relation in one direction. A segment consists of the edges of one step that start at the same entity.
    The most expensive steps are all limited to the same cost, and their segments are chosen at random.

    Args:
        edges: The graph.
        costs: int64 (n_segments,), cost of each segment: the number of edges to visit if it is chosen.
        max_steps: Maximum total cost.
        seed: Seed of the sample.

    Returns:
        (chosen, share): for each step, the positions of its chosen segments among all its segments, int64 (n,),
        ascending; and the total cost of the chosen segments divided by that of all segments.
    """
    in_order = costs[edges.by_step]
    limit = _limit(_sums(in_order, edges.step_bounds), max_steps)
    chosen: list[np.ndarray] = []
    spent = 0
    for step in range(edges.n_steps):
        of_step = in_order[edges.step_bounds[step] : edges.step_bounds[step + 1]]
        picked = np.arange(len(of_step))
        if of_step.sum() > limit:
            order = np.random.default_rng([seed, step]).permutation(len(of_step))
            picked = np.sort(order[np.cumsum(of_step[order]) <= limit])
        chosen.append(picked)
        spent += int(of_step[picked].sum())
    return chosen, spent / max(1, int(costs.sum()))


def _limit(totals: np.ndarray, budget: float) -> float:
    """Return the limit L for which the sum of min(total, L) over all totals is the budget; inf if all totals fit."""
    if totals.sum() <= budget:
        return math.inf
    ascending = np.sort(totals)
    left = len(ascending) - np.arange(len(ascending))
    limits = (budget - (np.cumsum(ascending) - ascending)) / left  # the limit, if all smaller totals stay below it
    return float(limits[np.argmax(limits < ascending)])


def _sums(values: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Return the sum of each slice values[bounds[i] : bounds[i + 1]], int64 (n,)."""
    sums = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
    return sums[bounds[1:]] - sums[bounds[:-1]]
