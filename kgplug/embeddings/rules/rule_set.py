"""Mined rules as arrays, and as text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

HEAD, FIRST, SECOND = 0, 1, 2  # columns of `RuleSet.paths`; the last two are support and body
STEP, CONSTANT, BODY_STEP, BODY_CONSTANT = 0, 1, 2, 3  # columns of `RuleSet.facts`; the last two are support and body
NONE = -1  # a second step or a constant that a rule does not have


class Reason(NamedTuple):
    """A rule that supports a predicted link.

    Attributes:
        text: The rule, such as "ACTED_IN(X, Y) <- DIRECTED(X, Z), SEQUEL(Z, Y)".
        confidence: Confidence of the rule.
        support, body: Number of cases in which both sides of the rule hold, and in which its right side holds.
    """

    text: str
    confidence: float
    support: int
    body: int

    def __str__(self) -> str:
        return f"{self.text}   {self.confidence:.2f} ({self.support:,} of {self.body:,})"


@dataclass(frozen=True, eq=False)
class RuleSet:
    """Mined rules of two kinds: paths and facts.

    A step is a relation in one direction, as in `Edges`: relation r for h → t, and r + n_relations for t → h.

    Attributes:
        paths: Path rules, int64 (n, 5), sorted by the relation h that they conclude. The right side is a step from X to
            Y, or a step from X to Z and a second step from Z to Y; the left side is h(X, Y). Columns: relation h, first
            step, second step or -1, support, body.
        facts: Fact rules about one entity X, int32 (m, 6). The right side is a step from X to a constant (a given
            entity) or to any entity; the left side is a step from X to a constant. Columns: step and constant of the
            left side, step of the right side, constant of the right side or -1 for any entity, support, body.
    """

    paths: np.ndarray
    facts: np.ndarray

    def __len__(self) -> int:
        return len(self.paths) + len(self.facts)

    def confidences(self, pc: float) -> np.ndarray:
        """Return the confidence support / (body + pc) of each rule, first paths, then facts: float64 (n_rules,).

        `pc` is the Laplace correction, the setting `laplace`.
        """
        support, body = np.concatenate([self.paths[:, -2:], self.facts[:, -2:]]).T
        return support / (body + pc)

    def reason(self, rule: int, *, pc: float, relations: np.ndarray, names: np.ndarray) -> Reason:
        """Return a rule as text, with its counts.

        Args:
            rule: Index of the rule. Paths come first, then facts.
            pc: Number added to the body in the rule's confidence.
            relations: Names of the relations, object (n_relations,).
            names: Keys of the entities, object (n_entities,).
        """
        n = len(relations)

        def atom(step: int, start: str, end: str) -> str:
            return f"{relations[step]}({start}, {end})" if step < n else f"{relations[step - n]}({end}, {start})"

        if rule < len(self.paths):
            head, first, second, support, body = self.paths[rule].tolist()
            right = atom(first, "X", "Y") if second == NONE else f"{atom(first, 'X', 'Z')}, {atom(second, 'Z', 'Y')}"
            left = atom(head, "X", "Y")
        else:
            step, constant, body_step, other, support, body = self.facts[rule - len(self.paths)].tolist()
            left = atom(step, "X", repr(names[constant]))
            right = atom(body_step, "X", "Z" if other == NONE else repr(names[other]))
        return Reason(f"{left} <- {right}", support / (body + pc), support, body)
