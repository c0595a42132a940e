"""Rules mined, and links scored, by loops straight from the definitions."""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import product

Edge = tuple[int, int, int]


def both_ways(triples: list[Edge], n_relations: int) -> set[Edge]:
    """Edges (start, step, end) in both directions, without loops."""
    kept = [(h, r, t) for h, r, t in triples if h != t]
    return {*kept, *((t, r + n_relations, h) for h, r, t in kept)}


def path_rules(triples: list[Edge], n_relations: int) -> dict[tuple[int, int, int], tuple[int, int]]:
    """(relation, first step, second step or -1) → (support, body)."""
    edges = both_ways(triples, n_relations)
    steps = range(2 * n_relations)
    bodies = {(step, -1): {(x, y) for x, s, y in edges if s == step} for step in steps}
    for first, second in product(steps, steps):
        bodies[first, second] = {
            (x, y) for x, s, z in edges if s == first for w, u, y in edges if w == z and u == second and x != y
        }
    found = {}
    for h in range(n_relations):
        true = bodies[h, -1]
        for (first, second), pairs in bodies.items():
            if pairs & true and (first, second) != (h, -1):
                found[h, first, second] = (len(pairs & true), len(pairs))
    return found


def fact_rules(triples: list[Edge], n_relations: int) -> dict[tuple[int, int, int, int], tuple[int, int]]:
    """(step, constant, step of the body, constant of the body or -1) → (support, body)."""
    met = defaultdict(set)  # (step, constant or -1) → entities X
    for x, step, y in both_ways(triples, n_relations):
        met[step, y].add(x)
        met[step, -1].add(x)
    return {
        (*target, *condition): (len(met[target] & met[condition]), len(met[condition]))
        for target in met
        for condition in met
        if target[1] >= 0 and target != condition and met[target] & met[condition]
    }


def strengths_for(
    query: Edge,
    triples: list[Edge],
    n_relations: int,
    *,
    pc: float,
    min_support: int,
    min_confidence: float,
) -> list[tuple[float, int, int]]:
    """The rules that predict (x, step, y), strongest first: (strength, kind, number of paths).

    Equally strong rules are in the order in which they are mined: by kind, then by the steps of the path.
    """
    x, step, y = query
    edges, n = both_ways(triples, n_relations), n_relations
    relation, (a, b) = (step, (x, y)) if step < n else (step - n, (y, x))  # h(a, b)

    def kept(support: int, body: int) -> bool:
        return support >= min_support and support / (body + pc) >= min_confidence

    def strength(support: int, body: int) -> float:
        return -math.log1p(-support / (body + pc))

    found = []
    for (h, first, second), counts in path_rules(triples, n).items():
        if h != relation or not kept(*counts):
            continue
        if second < 0:
            times = int((a, first, b) in edges)
        else:
            times = sum((a, first, z) in edges and (z, second, b) in edges for z in {end for *_, end in edges})
        if times and a != b:
            found.append(((-strength(*counts), 1 if second < 0 else 2, first, second), times))
    ends = ((a, relation, b), (b, relation + n, a))
    for (target, constant, body_step, other), counts in fact_rules(triples, n).items():
        for one, at, c in ends:
            if (target, constant) != (at, c) or not kept(*counts) or one == c:
                continue
            if any(start == one and s == body_step and other in (end, -1) for start, s, end in edges):
                found.append(((-strength(*counts), 3, 0, 0), 1))
    return [(-order[0], order[1], times) for order, times in sorted(found)]


def score(strengths: list[tuple[float, int, int]], way: tuple[float, float, float, float]) -> float:
    discount, *weights = way
    return sum(
        strength * weights[kind - 1] * math.sqrt(times) * discount**place
        for place, (strength, kind, times) in enumerate(strengths)
    )
