"""Scores of links by mined rules."""

from __future__ import annotations

import numpy as np

from kgplug.embeddings.rules.edges import Edges
from kgplug.embeddings.rules.rule_set import (
    BODY_CONSTANT,
    BODY_STEP,
    CONSTANT,
    FIRST,
    HEAD,
    NONE,
    SECOND,
    STEP,
    RuleSet,
)
from kgplug.embeddings.rules.scoring_kernels import RuleTables, rules_for, score_queries

_POPULARITY = 1e-3  # weight of popularity, which orders entities that no rule predicts
_SURE = 1 - 1e-6  # maximum confidence; higher ones are reduced to it, so that the logarithm is finite


class RuleScorer:
    """Scores all entities as answers to queries. A query asks to which entities a relation leads from a given entity.

    A step is a relation in one direction, so a query is a pair (entity, step).

    The score of an answer is s₁ + d·s₂ + d²·s₃ + …, where s₁, s₂, … are the strengths of the rules that predict the
    answer, strongest first. The strength of a rule is -log(1 - confidence). The discount d, from 0 to 1, says how much
    further rules add: with d = 0 only the strongest rule counts, with d = 1 all rules count in full.

    A strength is multiplied by the weight of the rule's kind: path of one step, path of two steps, or fact. If n paths
    of the same rule lead to the answer, its strength is also multiplied by √n.

    Two numbers are added to the score, so that entities that no rule predicts are ordered as well: 0.001 times the
    share of the step's edges that start at the query's entity, and 0.001 times the share that end at the answer.

    Args:
        edges: The graph to which the rules are applied.
        rules: The rules, as `known_rules` returns them.
        pc: Laplace correction: the confidence of a rule is support / (body + pc), see `RuleSet`.
    """

    def __init__(self, edges: Edges, rules: RuleSet, *, pc: float) -> None:
        self.edges, self.rules = edges, rules
        self._tables = _tables(edges, rules, rules.confidences(pc))

    def scores(
        self, entities: np.ndarray, steps: np.ndarray, ways: np.ndarray, *, predicted_only: bool = False
    ) -> np.ndarray:
        """Score every entity as the answer to each query.

        A query asks to which entities a step (a relation in one direction) leads from a given entity.

        Args:
            entities, steps: int64 (b,), the entity and the step of each query.
            ways: float64 (b, n_ways, 4), for each query, several ways to add up the strengths of rules. The last axis
                holds the discount and the weights of the three kinds of rule (see `RuleScorer`).
            predicted_only: Give entities that no rule predicts the score -inf.

        Returns:
            float32 (b, n_ways, n_entities).
        """
        scores = np.zeros((len(entities), ways.shape[1], len(self.edges.segments) - 1), dtype=np.float32)
        score_queries(self.edges, self._tables, entities, steps, ways, scores)
        if predicted_only:
            scores[scores == 0] = -np.inf
        self._add_popularity(scores, entities, steps)
        return scores

    def _add_popularity(self, scores: np.ndarray, entities: np.ndarray, steps: np.ndarray) -> None:
        """Add two numbers to each score, in place, to order entities that no rule predicts.

        They are 0.001 times the share of the step's edges that start at the query's entity, and 0.001 times the share
        that end at the scored entity.

        Args:
            scores: float32 (b, n_ways, n_entities).
            entities, steps: int64 (b,), the entity and the step (a relation in one direction) of each query.
        """
        edges = self.edges
        for step in np.unique(steps):
            rows = np.flatnonzero(steps == step)
            scores[rows] += self._popularity(int(step))[entities[rows], None, None]
            scores[rows] += self._popularity(int(edges.inverse(step)))

    def _popularity(self, step: int) -> np.ndarray:
        """Return 0.001 times the share of a step's edges that start at each entity: float32 (n_entities,)."""
        edges = self.edges
        popularity = np.zeros(len(edges.segments) - 1, dtype=np.float32)
        segments = edges.by_step[edges.step_bounds[step] : edges.step_bounds[step + 1]]
        sizes = edges.bounds[segments + 1] - edges.bounds[segments]
        popularity[edges.starts[segments]] = _POPULARITY * sizes / max(1, sizes.sum())
        return popularity

    def rules_for(self, entity: int, step: int, other: int) -> np.ndarray:
        """Return the indices of the rules that predict an edge, strongest first: int64 (n,).

        The edge leads from `entity` to `other`; `step` is its relation and direction.
        """
        return rules_for(self.edges, self._tables, entity, step, other)


def _tables(edges: Edges, rules: RuleSet, confidences: np.ndarray) -> RuleTables:
    """Return the rules arranged for look-ups. `rules` must be in the order in which `known_rules` returns them."""
    places = np.empty(len(rules), dtype=np.int32)
    places[np.argsort(-confidences, kind="stable")] = np.arange(len(rules), dtype=np.int32)
    facts = rules.facts.astype(np.int64)
    steps = edges.inverse(facts[:, STEP])
    targets = edges.segments_of(facts[:, CONSTANT], steps)
    conditions = _conditions(edges, facts)
    by_condition = np.lexsort((steps, conditions))
    return RuleTables(
        strengths=-np.log1p(-np.minimum(confidences, _SURE)).astype(np.float32),
        places=places,
        path_bounds=np.searchsorted(rules.paths[:, HEAD], np.arange(edges.n_relations + 1)),
        first=rules.paths[:, FIRST].astype(np.int32),
        second=rules.paths[:, SECOND].astype(np.int32),
        targets=targets.astype(np.int32),
        conditions=conditions.astype(np.int32),
        target_bounds=np.searchsorted(targets, np.arange(len(edges.steps) + 1)),
        by_condition=by_condition.astype(np.int32),
        condition_bounds=np.searchsorted(conditions[by_condition], np.arange(len(edges.sizes) + 1)),
        target_steps=steps[by_condition].astype(np.int32),
    )


def _conditions(edges: Edges, facts: np.ndarray) -> np.ndarray:
    """Return the condition on the right side of each fact rule, as an index of `Edges.sizes`: int64 (n,).

    The index is -1 if no edge of the graph meets the condition.

    Args:
        edges: The graph.
        facts: The fact rules, int64 (n, 6), as in `RuleSet.facts`.
    """
    to_any = facts[:, BODY_CONSTANT] == NONE
    segments = edges.segments_of(np.where(to_any, 0, facts[:, BODY_CONSTANT]), edges.inverse(facts[:, BODY_STEP]))
    return np.where(to_any, len(edges.steps) + facts[:, BODY_STEP], segments)


def known_rules(edges: Edges, rules: RuleSet) -> RuleSet:
    """Return the rules that can still be applied to a graph, in the order that `RuleScorer` needs.

    A fact rule names particular entities, as in "X has the genre Western if Ford directed X". The rule is dropped if
    one of these entities no longer has an edge of this kind, for example because it was erased from the graph.
    """
    facts = rules.facts.astype(np.int64)
    targets = edges.segments_of(facts[:, CONSTANT], edges.inverse(facts[:, STEP]))
    kept = np.flatnonzero((targets >= 0) & (_conditions(edges, facts) >= 0))
    kept = kept[np.argsort(targets[kept], kind="stable")]
    return RuleSet(rules.paths, rules.facts[kept])
