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
    """Scores of entities as answers to queries.

    A query is an entity and a step, which is a relation in one direction. The query asks to which other entities the
    step leads from this entity.

    The score of an entity is a discounted sum over the rules that predict it. The rules are sorted by strength,
    strongest first, and their strengths are multiplied by 1, d, d², … A rule's strength is -log(1 - confidence). With
    discount d = 1, the sum is -log(1 - p), where p combines the confidences by noisy-or. With d = 0, p is the largest
    confidence. Values between 0 and 1 allow for rules that overlap. Each kind of rule (paths of one step, paths of two
    steps, facts) also has a weight, by which its strengths are multiplied. If n paths of two steps lead to the same
    entity, the rule's strength is multiplied by √n.

    A small term orders entities that no rule predicts: a thousandth of the popularity of the query's entity and of the
    answer. Popularity is the share of the step's edges that start at the query's entity, or end at the answer.

    Args:
        edges: The graph to which rules are applied.
        rules: The rules, in the order in which `known_rules` returns them.
        pc: Number added to the body in a rule's confidence.
    """

    def __init__(self, edges: Edges, rules: RuleSet, *, pc: float) -> None:
        self.edges, self.rules = edges, rules
        self._tables = _tables(edges, rules, rules.confidences(pc))

    def scores(
        self, entities: np.ndarray, steps: np.ndarray, ways: np.ndarray, *, predicted_only: bool = False
    ) -> np.ndarray:
        """Score every entity as the answer to each query.

        Args:
            entities, steps: int64 (b,), the entity and the step of each query.
            ways: float64 (b, n_ways, 4), ways to add up strengths, for each query: the discount d, and the weights of
                the three kinds of rule.
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
        """Add the popularity of the query's entity and of the scored entity to all scores, in place.

        Args:
            scores: float32 (b, n_ways, n_entities).
            entities, steps: int64 (b,), the entity and the step of each query.
        """
        edges = self.edges
        for step in np.unique(steps):
            rows = np.flatnonzero(steps == step)
            scores[rows] += self._popularity(int(step))[entities[rows], None, None]
            scores[rows] += self._popularity(int(edges.inverse(step)))

    def _popularity(self, step: int) -> np.ndarray:
        """Return a thousandth of the share of the step's edges that start at each entity, float32 (n_entities,)."""
        edges = self.edges
        popularity = np.zeros(len(edges.segments) - 1, dtype=np.float32)
        segments = edges.by_step[edges.step_bounds[step] : edges.step_bounds[step + 1]]
        sizes = edges.bounds[segments + 1] - edges.bounds[segments]
        popularity[edges.starts[segments]] = _POPULARITY * sizes / max(1, sizes.sum())
        return popularity

    def rules_for(self, entity: int, step: int, other: int) -> np.ndarray:
        """Return the indices of the rules that predict a step from `entity` to `other`, strongest first: int64 (n,)."""
        return rules_for(self.edges, self._tables, entity, step, other)


def _tables(edges: Edges, rules: RuleSet, confidences: np.ndarray) -> RuleTables:
    """Return the rules arranged for look-ups. They must be in the order in which `known_rules` returns them."""
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
    """Return the condition on the right side of each fact rule, int64 (n,); -1 if the graph lacks it.

    Conditions have the indices of `Edges.sizes`.
    """
    to_any = facts[:, BODY_CONSTANT] == NONE
    segments = edges.segments_of(np.where(to_any, 0, facts[:, BODY_CONSTANT]), edges.inverse(facts[:, BODY_STEP]))
    return np.where(to_any, len(edges.steps) + facts[:, BODY_STEP], segments)


def known_rules(edges: Edges, rules: RuleSet) -> RuleSet:
    """Return the rules that the graph's edges can match, sorted as `RuleScorer` needs them.

    A fact rule contains constants, which are given entities. If an entity has been erased, the graph may no longer have
    the edges of a rule's constants.
    """
    facts = rules.facts.astype(np.int64)
    targets = edges.segments_of(facts[:, CONSTANT], edges.inverse(facts[:, STEP]))
    kept = np.flatnonzero((targets >= 0) & (_conditions(edges, facts) >= 0))
    kept = kept[np.argsort(targets[kept], kind="stable")]
    return RuleSet(rules.paths, rules.facts[kept])
