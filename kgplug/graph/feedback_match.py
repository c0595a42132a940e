"""The Cypher that finds feedback: for each kind, a MATCH of `user` and `item`, and expressions on its variables."""

from __future__ import annotations

import re
from typing import Any

from kgplug.cypher_text import ENDS, named_path, parts, renamed, variables, without_comments
from kgplug.cypher_variables import bound_in
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.feedback_schema import EXPRESSIONS, FeedbackSchema
from kgplug.graph.members import condition_on, is_item, is_outside, is_user
from kgplug.graph.quoting import feedback_arrow, quote, rating_of
from kgplug.graph.schema import GraphSchema
from kgplug.graph.user_cypher import user_rows

_PROPERTY = re.compile(r"[^\W\d]\w*\.[^\W\d]\w*")  # its type is not known before the query runs


def match_of(schema: GraphSchema, kind: FeedbackSchema, *, also: str = "", named: bool = False) -> str:
    """Return a MATCH clause with its WHERE that finds a kind's feedback; its variables include user and item.

    If `user` or `item` is already known where the clause is used, only its feedback is found. Nodes between them that
    have the label of users or items must be users or items.

    Args:
        schema: schema of the graph.
        kind: one of its kinds of feedback.
        also: a further condition; "" for none.
        named: whether each path of the pattern has a variable, as in `paths_of`.
    """
    path, outside = path_of(schema, kind), ""
    if kind.pattern is None:  # the path has the labels
        members = [condition_on(schema.user, "user"), condition_on(schema.item, "item")]
    else:
        members = [is_user(schema, "user"), is_item(schema, "item")]
        if kind.names.labels or kind.names.has_unlabelled:
            outside = is_outside(schema, "kgplug_between")
    conditions = [condition for condition in members if condition]
    if outside:
        conditions += [f"none(kgplug_between IN nodes({name}) WHERE {outside})" for name, _ in paths_of(schema, kind)]
    if outside or named:
        path = ", ".join(text for _, text in paths_of(schema, kind))
    conditions += [f"({without_comments(text)})" for text in (kind.where, also) if text]
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"MATCH {path}{where}"


def path_of(schema: GraphSchema, kind: FeedbackSchema) -> str:
    """Return a kind's pattern between the variables user and item.

    Of a type, user and item have their labels, and the relationship has the variable rated.
    """
    if kind.pattern is not None:
        return without_comments(kind.pattern)
    user, item = quote(schema.user.label), quote(schema.item.label)
    return f"(user:{user}){feedback_arrow(kind, 'rated')}(item:{item})"


def paths_of(schema: GraphSchema, kind: FeedbackSchema) -> list[tuple[str, str]]:
    """Return the paths of a kind's pattern: for each its variable, and its text with this variable."""
    return [named_path(path, f"kgplug_path{number}") for number, path in enumerate(parts(path_of(schema, kind)))]


def expression_of(kind: FeedbackSchema, setting: str) -> str | None:
    """Return the Cypher expression of a kind's rating, weight or timestamp over the variables of `match_of`.

    None if it is not set.
    """
    value = getattr(kind, setting)
    if not value:
        return None
    if not kind.is_cypher(setting):
        return f"rated.{quote(value)}"
    cypher = without_comments(value)
    # Neo4j refuses a query that applies functions for texts to what must be a number. The first element of a list of
    # several types may have any type.
    return cypher if _PROPERTY.fullmatch(cypher) else f"head([{cypher}, 0, ''])"


def as_part(kind: FeedbackSchema, text: str, *, user: str = "user", item: str = "item") -> str:
    """Return Cypher over a kind's variables for use inside another query, whose variables have other names.

    The variables of the kind's pattern, and those that its condition and expressions bind, get names of their own.

    Args:
        kind: the kind of feedback.
        text: from `match_of`, `path_of` or `expression_of`.
        user, item: names of the variables user and item there.
    """
    inner = {"rated"} if kind.pattern is None else variables(without_comments(kind.pattern))
    bound = (bound_in(getattr(kind, setting) or "") for setting in ("where", *filter(kind.is_cypher, EXPRESSIONS)))
    inner = inner.union(*bound) - {*ENDS}
    names = {name: f"kgplug_{name}" if name.isidentifier() else quote(f"kgplug_{name}") for name in inner}
    return renamed(text, {**names, "user": user, "item": item})


def is_like(kind: FeedbackSchema) -> str:
    """Return the Cypher condition over the variables of `match_of` that a row is a like; "" if every row is one."""
    rating = expression_of(kind, "rating")
    if rating is None or kind.like_threshold is None:
        return ""
    return f"{rating_of(rating)} >= {kind.like_threshold!r}"


def has_feedback(schema: GraphSchema, user: str = "user", item: str = "kgplug_item") -> str:
    """Return the Cypher condition that a user has feedback on an item; on any item, if `item` is not known there.

    `user` and `item` are variables of the query.
    """
    found = (as_part(kind, match_of(schema, kind), user=user, item=item) for kind in schema.feedback)
    return f"({' OR '.join(f'EXISTS {{ {match} }}' for match in found)})"


def items_of(schema: GraphSchema, user: str = "user") -> str:
    """Return the Cypher expression for the list of the items on which a user has feedback, without repetitions."""
    found = (match_of(schema, kind) + " RETURN DISTINCT item" for kind in schema.feedback)
    texts = (as_part(kind, text, user=user) for kind, text in zip(schema.feedback, found, strict=True))
    return f"COLLECT {{ {' UNION '.join(texts)} }}"


def joined(schema: GraphSchema, user: str, item: str) -> str:
    """Return the Cypher condition that feedback joins two nodes of a query.

    A relationship of a feedback's type counts whatever its direction, because it reveals the feedback either way.
    """
    types, others = _by_type(schema)
    found = [f"EXISTS {{ ({user})-[:{types}]-({item}) }}"] if types else []
    found += [f"EXISTS {{ {as_part(kind, match_of(schema, kind), user=user, item=item)} }}" for kind in others]
    return f"({' OR '.join(found)})"


def count_between(schema: GraphSchema, user: str) -> str:
    """Return the Cypher expression for the number of relationships, and of items matched, that join a user to items."""
    types, others = _by_type(schema)
    found = [f"COUNT {{ ({user})-[:{types}]-(:{quote(schema.item.label)}) }}"] if types else []
    items = (
        as_part(kind, f"{match_of(schema, kind)} RETURN DISTINCT item", user=user, item="kgplug_item")
        for kind in others
    )
    found += [f"COUNT {{ {match} }}" for match in items]
    return f"({' + '.join(found)})"


def items_joined(schema: GraphSchema, user: str) -> str:
    """Return the Cypher expression for the list of the other items that feedback joins to a user."""
    types, others = _by_type(schema)
    item = quote(schema.item.label)
    found = [f"MATCH ({user})-[:{types}]-(item:{item}) WHERE {user} <> item RETURN DISTINCT item"] if types else []
    found += [
        as_part(kind, f"{match_of(schema, kind, also='user <> item')} RETURN DISTINCT item", user=user)
        for kind in others
    ]
    return f"COLLECT {{ {' UNION '.join(found)} }}"


def _by_type(schema: GraphSchema) -> tuple[str, list[FeedbackSchema]]:
    """Return the types of the kinds without Cypher, as alternatives of a pattern, and the other kinds."""
    types = sorted(kind.type for kind in schema.feedback if kind.is_plain)
    return "|".join(map(quote, types)), [kind for kind in schema.feedback if not kind.is_plain]


def is_feedback(schema: GraphSchema, relationship: str) -> str:
    """Return the Cypher condition that a relationship has one of the types that feedback leads through."""
    types = "|".join(quote(name) for name in sorted(schema.feedback_types))
    return f"{relationship}:{types}" if types else "false"


def schema_rows(
    connection: Connection, schema: GraphSchema, query: str, /, **parameters: object
) -> list[dict[str, Any]]:
    """Run a query that contains the schema's feedback, and return its rows.

    If the schema has Cypher, the query has a time limit (`user_rows`).
    """
    if not schema.tables_with_cypher:
        return connection.rows(query, **parameters)
    return user_rows(connection, schema.tables_with_cypher, query, **parameters)
