"""Compiled loops (numba) that find the rules that apply to an entity, and the entities that these rules predict."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from kgplug.embeddings.rules.edges import Edges

# Used instead of a segment for fact rules: the rule's X is the query's entity (start), or the answer (end).
ABOUT_START, ABOUT_END = -1, -2


class RuleTables(NamedTuple):
    """Rules, arranged for finding those that can answer a query. A rule's number is its index: first paths, then facts.

    A query asks to which entities a step (a relation in one direction) leads from a given entity. Conditions and
    segments are explained in `Edges`. The target of a fact rule is the condition on its left side. Ranges below exclude
    their end.

    Attributes:
        strengths: float32 (n_rules,), strength of each rule, -log(1 - confidence).
        places: int32 (n_rules,), rank of each rule by strength; the strongest has rank 0.
        path_bounds: int64 (n_relations + 1,). The path rules of relation h are those from path_bounds[h] to
            path_bounds[h + 1].
        first, second: int32 (n_paths,), steps of a path rule's right side; the second is -1 if there is none.
        targets, conditions: int32 (n_facts,), conditions on the left side and on the right side of each fact rule, with
            the indices of `Edges.sizes`.
        target_bounds: int64 (n_segments + 1,). The fact rules of a target are those from target_bounds[target] to
            target_bounds[target + 1].
        by_condition: int32 (n_facts,), the fact rules sorted by condition, then by the step of the target.
        condition_bounds: int64 (n_conditions + 1,). The fact rules of a condition are
            by_condition[condition_bounds[condition] : condition_bounds[condition + 1]].
        target_steps: int32 (n_facts,), step of the target of each rule in `by_condition`.
    """

    strengths: np.ndarray
    places: np.ndarray
    path_bounds: np.ndarray
    first: np.ndarray
    second: np.ndarray
    targets: np.ndarray
    conditions: np.ndarray
    target_bounds: np.ndarray
    by_condition: np.ndarray
    condition_bounds: np.ndarray
    target_steps: np.ndarray


@numba.njit(cache=True, nogil=True)
def score_queries(
    edges: Edges, rules: RuleTables, entities: np.ndarray, steps: np.ndarray, ways: np.ndarray, scores: np.ndarray
) -> None:
    """Add up, for each query and each entity, the strengths of the rules that predict the entity (see `RuleScorer`).

    A query asks to which entities a step (a relation in one direction) leads from a given entity.

    Args:
        edges: The graph.
        rules: The rules.
        entities, steps: int64 (b,), entity and step of each query.
        ways: float64 (b, n_ways, 4), ways to add up, for each query: the discount, and the weights of paths of one
            step, of paths of two steps and of facts.
        scores: float32 (b, n_ways, n_entities), increased in place.
    """
    n_entities, n_ways, n_paths = len(edges.segments) - 1, ways.shape[1], len(rules.first)
    numbers, origins = np.empty(1024, dtype=np.int64), np.empty(1024, dtype=np.int64)
    seen, stamp = np.zeros(n_entities, dtype=np.int64), 0
    found, times = np.empty(n_entities, dtype=np.int32), np.ones(n_entities, dtype=np.int32)
    factors = np.empty((n_ways, n_entities), dtype=np.float64)
    for i in range(len(entities)):
        n = _fitting(edges, rules, entities[i], steps[i], numbers, origins)
        if n > len(numbers):
            numbers, origins = np.empty(2 * n, dtype=np.int64), np.empty(2 * n, dtype=np.int64)
            n = _fitting(edges, rules, entities[i], steps[i], numbers, origins)
        factors[:] = 1.0
        order = np.argsort(rules.places[numbers[:n]])
        for place in range(n):
            stamp += 1
            rule, origin = int(numbers[order[place]]), int(origins[order[place]])
            kind = 3 if rule >= n_paths else 1 if rules.second[rule] < 0 else 2
            n_found = _predicted(edges, rules, entities[i], steps[i], rule, origin, seen, stamp, found, times)
            for way in range(n_ways):
                discount, strength = ways[i, way, 0], rules.strengths[rule] * ways[i, way, kind]
                for k in range(n_found):
                    y = found[k]
                    power = np.sqrt(times[y]) if kind == 2 else 1.0
                    scores[i, way, y] += strength * factors[way, y] * power
                    factors[way, y] *= discount


@numba.njit(cache=True, nogil=True)
def rules_for(edges: Edges, rules: RuleTables, entity: int, step: int, other: int) -> np.ndarray:
    """Return the numbers of the rules that predict an edge, strongest first: int64 (n,).

    The edge leads from `entity` to `other`; `step` is its relation and direction.
    """
    n_entities = len(edges.segments) - 1
    numbers, origins = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    n = _fitting(edges, rules, entity, step, numbers, origins)
    numbers, origins = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
    _fitting(edges, rules, entity, step, numbers, origins)
    seen, found = np.zeros(n_entities, dtype=np.int64), np.empty(n_entities, dtype=np.int32)
    times = np.empty(n_entities, dtype=np.int32)
    kept, n_kept = np.empty(n, dtype=np.int64), 0
    order = np.argsort(rules.places[numbers])
    for place in range(n):
        rule, origin = int(numbers[order[place]]), int(origins[order[place]])
        n_found = _predicted(edges, rules, entity, step, rule, origin, seen, place + 1, found, times)
        for k in range(n_found):
            if found[k] == other:
                kept[n_kept] = rule
                n_kept += 1
    return kept[:n_kept]


@numba.njit(cache=True, nogil=True)
def _fitting(edges: Edges, rules: RuleTables, entity: int, step: int, numbers: np.ndarray, origins: np.ndarray) -> int:
    """Find the rules that may answer a query: to which entities does `step` lead from `entity`?

    Args:
        edges, rules: The graph and the rules.
        entity, step: The query.
        numbers: int64 (m,), output: numbers of the rules.
        origins: int64 (m,), output: for a path rule, the segment with its first edges. For a fact rule, ABOUT_START if
            the rule's X is the query's entity, or ABOUT_END if X is the answer.

    Returns:
        The number of rules. If it is more than m, the output is incomplete.
    """
    n_relations, n_segments, n_paths, n = edges.n_relations, len(edges.steps), len(rules.first), 0
    first, last = edges.segments[entity], edges.segments[entity + 1]
    forward = step < n_relations
    inverse = step + n_relations if forward else step - n_relations
    relation = step if forward else inverse
    for rule in range(rules.path_bounds[relation], rules.path_bounds[relation + 1]):
        start = rules.first[rule]
        if not forward:
            start = _turned(rules.first[rule] if rules.second[rule] < 0 else rules.second[rule], n_relations)
        origin = first + np.searchsorted(edges.steps[first:last], start)
        if origin < last and edges.steps[origin] == start:
            if n < len(numbers):
                numbers[n], origins[n] = rule, origin
            n += 1
    for segment in range(first, last):
        for edge in range(edges.bounds[segment], edges.bounds[segment + 1] + 1):
            to_any = edge == edges.bounds[segment + 1]
            condition = n_segments + edges.steps[segment] if to_any else np.int64(edges.reverse[edge])
            low, high = rules.condition_bounds[condition], rules.condition_bounds[condition + 1]
            i = low + np.searchsorted(rules.target_steps[low:high], inverse)
            while i < high and rules.target_steps[i] == inverse:
                if n < len(numbers):
                    numbers[n], origins[n] = n_paths + rules.by_condition[i], ABOUT_START
                n += 1
                i += 1
    segment = first + np.searchsorted(edges.steps[first:last], step)
    if segment < last and edges.steps[segment] == step:
        for rule in range(rules.target_bounds[segment], rules.target_bounds[segment + 1]):
            if n < len(numbers):
                numbers[n], origins[n] = n_paths + rule, ABOUT_END
            n += 1
    return n


@numba.njit(cache=True, nogil=True)
def _predicted(
    edges: Edges,
    rules: RuleTables,
    entity: int,
    step: int,
    number: int,
    origin: int,
    seen: np.ndarray,
    stamp: int,
    found: np.ndarray,
    times: np.ndarray,
) -> int:
    """Find the entities to which `step` leads from `entity` according to one rule.

    Args:
        edges, rules: The graph and the rules.
        entity, step: The query.
        number, origin: The rule and its origin, as `_fitting` returns them.
        seen: int64 (n_entities,), work space: set to `stamp` for entities that are found.
        stamp: A number that is not in `seen` yet.
        found: int32 (n_entities,), output: the entities, each once.
        times: int32 (n_entities,), output: for a rule with a path of two steps, the number of paths to each entity that
            is found.

    Returns:
        The number of entities.
    """
    n_segments, n_paths, n = len(edges.steps), len(rules.first), 0
    if origin == ABOUT_START:
        found[0] = edges.starts[rules.targets[number - n_paths]]
        return 0 if found[0] == entity else 1
    if origin == ABOUT_END:
        condition = rules.conditions[number - n_paths]
        if condition < n_segments:
            for edge in range(edges.bounds[condition], edges.bounds[condition + 1]):
                if edges.ends[edge] != entity:
                    found[n] = edges.ends[edge]
                    n += 1
            return n
        body_step = condition - n_segments
        for i in range(edges.step_bounds[body_step], edges.step_bounds[body_step + 1]):
            start = edges.starts[edges.by_step[i]]
            if start != entity:
                found[n] = start
                n += 1
        return n
    second = rules.second[number]
    if second >= 0 and step >= edges.n_relations:
        second = _turned(rules.first[number], edges.n_relations)
    for edge in range(edges.bounds[origin], edges.bounds[origin + 1]):
        middle = edges.ends[edge]
        if second < 0:
            found[n] = middle
            n += 1
            continue
        first, last = edges.segments[middle], edges.segments[middle + 1]
        segment = first + np.searchsorted(edges.steps[first:last], second)
        if segment < last and edges.steps[segment] == second:
            for other in range(edges.bounds[segment], edges.bounds[segment + 1]):
                y = edges.ends[other]
                if seen[y] == stamp:
                    times[y] += 1
                elif y != entity:
                    seen[y], times[y] = stamp, 1
                    found[n] = y
                    n += 1
    return n


@numba.njit(cache=True, nogil=True)
def _turned(step: int, n_relations: int) -> int:
    return step - n_relations if step >= n_relations else step + n_relations
