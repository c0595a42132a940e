"""A Cypher query that applies mined rules and so finds the missing relationships that the rules predict."""

from __future__ import annotations

from collections.abc import Sequence

from kgplug.data.publication import PathRule
from kgplug.errors import UsageError
from kgplug.graph.queries import quote, quote_text


def rule_query(rules: Sequence[PathRule]) -> str:
    """Return the text of a query that applies mined rules to the graph as it is now.

    The query returns one row per missing relationship, most confident first: the nodes `head` and `tail`, the
    `confidence` of the best rule that predicts the relationship, the text of this `rule`, and `n_rules`, the number of
    rules that predict the relationship. Its parameter is $k, the maximum number of rows.

    Args:
        rules: rules that all predict the same relation.

    Raises:
        UsageError: there are no rules, or they predict different relations.
    """
    if not rules:
        raise UsageError("There is no rule without constants to apply. Train with a lower min_confidence.")
    n_relations = len({rule.relation for rule in rules})
    if n_relations > 1:
        raise UsageError(
            f"A query predicts relationships of one type; these rules conclude {n_relations} types. Give one relation."
        )
    parts = "\n  UNION ALL\n".join(_part(rule) for rule in rules)
    return (
        "// Missing relationships that mined rules predict. Parameter: $k, the maximum number of rows.\n"
        f"CALL () {{\n{parts}\n}}\n"
        "WITH head, tail, confidence, rule ORDER BY confidence DESC\n"
        "WITH head, tail, collect({confidence: confidence, rule: rule}) AS found\n"
        "RETURN head, tail, found[0].confidence AS confidence, found[0].rule AS rule, size(found) AS n_rules\n"
        "ORDER BY confidence DESC, n_rules DESC LIMIT $k"
    )


def _part(rule: PathRule) -> str:
    """Return the part of the query that applies one rule."""
    ends = ["(x)", *["(z)"] * (len(rule.body) - 1), "(y)"]
    path = ends[0]
    for (relation, forward), end in zip(rule.body, ends[1:], strict=True):
        arrow = f"-[:{quote(relation)}]-"
        path += f"{arrow}>{end}" if forward else f"<{arrow}{end}"
    different = "x <> y" if len(rule.body) == 1 else "x <> y AND x <> z AND y <> z"
    return (
        f"  MATCH {path}\n"
        f"  WHERE {different} AND NOT EXISTS {{ (x)-[:{quote(rule.relation)}]->(y) }}\n"
        f"  RETURN DISTINCT x AS head, y AS tail, {rule.confidence:.6f} AS confidence, {quote_text(rule.rule)} AS rule"
    )
