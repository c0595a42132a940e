"""Find data that repeats the feedback. A model that learnt from this data would know the test set.

A node belongs to a user if any relationship other than feedback connects the two. There are three kinds of such data:

- Nodes that belong to one user each and that are connected to items, such as orders, sessions, reviews and carts. Nodes
  that belong to such nodes, such as the lines of an order, also count.
- Nodes that belong to a few users each, such as gifts or the orders of a household. Also nodes that belong to one user
  or none, such as the orders of a shop that sells to guests. The label of such nodes counts only if they are connected
  to items on which their users have feedback.
- Relationship types between users and items that mostly repeat the feedback.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kgplug.graph.bolt.connection import Connection
from kgplug.graph.catalog import OWN_RELATIONSHIPS
from kgplug.graph.contents import Contents
from kgplug.graph.counts import MOST_NAMES
from kgplug.graph.feedback_match import count_between, items_joined, joined, schema_rows
from kgplug.graph.members import condition_on
from kgplug.graph.ownership import own_runs
from kgplug.graph.queries import quote
from kgplug.graph.schema import GraphSchema, ItemSchema, UserSchema

_SINGLE = 0.95  # share of the owned nodes of a label that must have exactly one owner
_OWNED = 0.5  # share of a label's nodes that must have an owner
_LEAST_OWNERS = 3  # minimum number of owners of a label's nodes
_LEAST_SHARED = 5  # minimum number of pairs that also have feedback; fewer may be chance
_FEW = 3  # maximum number of users of a node that belongs to a few users, such as buyer and recipient of a gift
_COVERED = 0.1  # such nodes count only if they reveal at least this share of the pairs with feedback
REPEATED = 0.5
"""Minimum share for a relationship type to repeat the feedback.

A type repeats the feedback if at least this share of the user-item pairs that it connects also have feedback. It also
does if it connects at least this share of the pairs that have feedback. Pairs expected by chance are subtracted.
"""


@dataclass(frozen=True)
class OwnedLabel:
    """A label whose nodes repeat the feedback, because each node connects its owner to items.

    There are two kinds. In the first, each node belongs to one user, directly or through another owned node (an order
    line through its order). In the second, each node belongs to at most a few users, and the nodes are connected to
    items on which these users have feedback.

    Attributes:
        label: the label.
        n: number of nodes.
        owner: label of the owners, which are users or other owned nodes.
        links: number of (node, item) pairs that a path connects, for a label of the second kind; 0 for the first kind.
        repeated: number of these pairs in which one of the node's users has feedback on the item.
    """

    label: str
    n: int
    owner: str
    links: int = 0
    repeated: int = 0


@dataclass(frozen=True)
class RepeatingType:
    """A relationship type that repeats the feedback.

    Attributes:
        type: name of the type.
        pairs: number of user-item pairs that it connects.
        shared: number of these pairs that the feedback also connects.
        feedback: number of pairs that the feedback connects.
    """

    type: str
    pairs: int
    shared: int
    feedback: int


def find_owned(connection: Connection, schema: GraphSchema, contents: Contents) -> list[OwnedLabel]:
    """Return the labels whose nodes repeat the feedback; those nearest to the users come first.

    If users are also the items, a label counts only if its nodes have two kinds of relationships that differ in type or
    direction: one to their owners, one to items. The (owner, item) pairs must also repeat the feedback (see the
    constant `REPEATED` for the rule).
    """
    user, item = schema.user.label, schema.item.label
    if not {user, item} <= contents.labels.keys():
        return []
    if user == item:
        return _owned_by_items(connection, schema, contents)
    owner_of: dict[str, str] = {}
    leads_to_items: set[str] = set()
    links: dict[str, tuple[int, int]] = {}
    owners = {user}
    while owners:  # from users to the nodes that belong to them: order, line …
        candidates = _next_to(owners, schema, contents) - owner_of.keys()
        rows = _count_owners(connection, schema, owners, candidates) if candidates else []
        new = {row["label"]: row for row in rows if _is_owned(row, contents)}
        if user in owners:
            few = [row for row in rows if row["label"] not in new and row["few"] >= _SINGLE * row["owned"] > 0]
            links = _repeated_links(connection, schema, contents, few)
            new |= {row["label"]: row for row in few if row["label"] in links}
        for label, row in new.items():
            owner_of[label] = row["owner"]
            if row["linked"] or label in links:
                leads_to_items.add(label)
        owners = set(new)
    for label in reversed(owner_of):  # labels that lead to items through nodes that belong to them
        if label in leads_to_items:
            leads_to_items.add(owner_of[label])
    return [
        OwnedLabel(label, contents.labels[label], owner, *links.get(label, (0, 0)))
        for label, owner in owner_of.items()
        if label in leads_to_items
    ]


def find_repeating(
    connection: Connection, schema: GraphSchema, contents: Contents, types: Iterable[str]
) -> list[RepeatingType]:
    """Return those of the given relationship types that repeat the feedback.

    See the constant `REPEATED` for the rule.
    """
    user, item = schema.user.label, schema.item.label
    if not {user, item} <= contents.labels.keys() or not _has_feedback(schema, contents):
        return []
    types = [name for name in types if name not in schema.direct_types and _may_join(contents, name, user, item)]
    if not types:
        return []
    u, i = _members(schema.user, "u"), _members(schema.item, "i")
    rows = schema_rows(
        connection,
        schema,
        f"MATCH (u:{u}) WITH u, {count_between(schema, 'u')} AS n "
        f"CALL (u) {{ MATCH (u)-[r{_listed(types)}]-(i:{i}) WHERE u <> i AND type(r) IN $types "
        "AND NOT (type(r) IN $own AND coalesce([r.model, r.run] IN $runs, false)) WITH DISTINCT u, type(r) AS name, i "
        f"WITH name, CASE WHEN {joined(schema, 'u', 'i')} THEN 1 ELSE 0 END AS shared "
        "RETURN name, count(*) AS pairs, sum(shared) AS shared } "
        "RETURN name, sum(pairs) AS pairs, sum(shared) AS shared, sum(1.0 * pairs * n) AS chance",
        types=types,
        own=list(OWN_RELATIONSHIPS),
        runs=[[*pair] for pair in own_runs(connection)],
    )
    if not rows:
        return []
    taken, n_items = _feedback_pairs(connection, schema), contents.labels[item]
    if schema.item.where is not None:
        n_items = schema_rows(connection, schema, f"MATCH (i:{i}) RETURN count(*) AS n")[0]["n"]
    return [
        RepeatingType(row["name"], row["pairs"], row["shared"], taken)
        for row in sorted(rows, key=lambda row: row["name"])
        if _repeats(row["pairs"], row["shared"], row["chance"] / n_items, taken)
    ]


def _repeats(pairs: int, shared: int, chance: float, taken: int) -> bool:
    """Return whether a type or label repeats the feedback.

    See the constant `REPEATED` for the rule.

    Args:
        pairs: number of pairs that the type or label connects.
        shared: number of these pairs that also have feedback.
        chance: number of these pairs that would have feedback by chance.
        taken: number of all pairs that have feedback.
    """
    if shared < _LEAST_SHARED:
        return False
    beyond = shared - min(chance, shared)
    return any(beyond >= REPEATED * (n - min(chance, n)) > 0 for n in (pairs, taken))


def _feedback_pairs(connection: Connection, schema: GraphSchema) -> int:
    """Return how many pairs the feedback connects. If users are items, each pair counts twice, once from each end."""
    (row,) = schema_rows(
        connection,
        schema,
        f"MATCH (u:{_members(schema.user, 'u')}) RETURN sum(size({items_joined(schema, 'u')})) AS n",
    )
    return row["n"]


def _members(part: UserSchema | ItemSchema, variable: str) -> str:
    """Return the label of users or items, and their condition if they have one, for a node of a Cypher pattern."""
    condition = condition_on(part, variable)
    return quote(part.label) + (f" WHERE {condition}" if condition else "")


def _has_feedback(schema: GraphSchema, contents: Contents) -> bool:
    """Return whether the database has relationships of the feedback's types, or the feedback names no types."""
    return not schema.feedback_types or not schema.feedback_types.isdisjoint(contents.types)


def _next_to(owners: set[str], schema: GraphSchema, contents: Contents) -> set[str]:
    """Return the labels whose nodes may be connected to nodes of the `owners` labels by a type other than feedback."""
    others = contents.labels.keys() - {schema.user.label, schema.item.label} - owners
    if contents.ends is None:
        return set(others)
    starts, ends = _types_at(contents, owners)
    starts, ends = starts - schema.direct_types, ends - schema.direct_types
    joined = {
        label
        for (name, label), (n_out, n_in) in contents.ends.items()
        if (n_in and name in starts) or (n_out and name in ends)
    }
    return joined & others


def _types_at(contents: Contents, labels: set[str]) -> tuple[set[str], set[str]]:
    """Return the types that start at nodes of the labels, and the types that end there."""
    found = [(name, n) for (name, label), n in (contents.ends or {}).items() if label in labels]
    return {name for name, n in found if n[0]}, {name for name, n in found if n[1]}


def _count_owners(
    connection: Connection, schema: GraphSchema, owners: set[str], candidates: set[str]
) -> list[dict[str, Any]]:
    """Count the owners of the nodes of each candidate label.

    Returns:
        One dict per label. The values of `owned`, `single` and `few` are the numbers of nodes with at least one owner,
        with exactly one, and with one to three. `linked` is the number of nodes with a relationship to an item,
        `owners` the number of owners, and `owner` their label.
    """
    owned_by = "|".join(quote(label) for label in sorted(owners))
    own = {"labels": sorted(candidates), "feedback": sorted(schema.direct_types), "owners": sorted(owners)}
    return connection.rows(
        f"MATCH (n{_listed(candidates)}) WHERE any(label IN labels(n) WHERE label IN $labels) "
        f"AND NOT n:{quote(schema.user.label)} AND NOT n:{quote(schema.item.label)} "
        f"WITH n, COLLECT {{ MATCH (n)-[r]-(o:{owned_by}) WHERE NOT type(r) IN $feedback "
        f"RETURN DISTINCT o LIMIT {_FEW + 1} }} AS o, EXISTS {{ (n)--(:{quote(schema.item.label)}) }} AS linked "
        "UNWIND [label IN labels(n) WHERE label IN $labels] AS label "
        "WITH label, sum(CASE WHEN size(o) > 0 THEN 1 ELSE 0 END) AS owned, "
        "sum(CASE size(o) WHEN 1 THEN 1 ELSE 0 END) AS single, count(DISTINCT o[0]) AS owners, "
        f"sum(CASE WHEN 0 < size(o) <= {_FEW} THEN 1 ELSE 0 END) AS few, "
        "sum(CASE WHEN linked THEN 1 ELSE 0 END) AS linked, "
        "collect(DISTINCT head([above IN labels(o[0]) WHERE above IN $owners])) AS above "
        "RETURN label, owned, single, few, owners, linked, above[0] AS owner",
        **own,
    )


def _repeated_links(
    connection: Connection, schema: GraphSchema, contents: Contents, rows: list[dict[str, Any]]
) -> dict[str, tuple[int, int]]:
    """Return label → (links, repeated), as in `OwnedLabel`, for the labels that repeat the feedback.

    A path leads from a node to an item directly, or through one node that belongs to it, such as the line of an order.

    Args:
        rows: rows of `_count_owners` for labels whose nodes belong to at most a few users each.
    """
    labels = [row["label"] for row in rows]
    if not labels or not _has_feedback(schema, contents):
        return {}
    u, i = quote(schema.user.label), quote(schema.item.label)
    counts = schema_rows(
        connection,
        schema,
        f"MATCH (n{_listed(labels)}) WHERE any(label IN labels(n) WHERE label IN $labels) AND NOT n:{u} AND NOT n:{i} "
        f"WITH n, COLLECT {{ MATCH (n)-[r]-(u:{u}) WHERE NOT type(r) IN $feedback RETURN DISTINCT u }} AS users "
        "WHERE size(users) > 0 "
        f"WITH n, users, reduce(sum = 0, u IN users | sum + {count_between(schema, 'u')}) AS taken "
        f"CALL (n) {{ MATCH (n)--(i:{i}) RETURN i UNION MATCH (n)--(x)--(i:{i}) "
        f"WHERE NOT x:{u} AND NOT x:{i} AND x <> n "
        "AND COUNT { MATCH (x)--(m) WHERE any(label IN labels(m) WHERE label IN $labels) RETURN DISTINCT m } = 1 "
        "RETURN i } "
        f"WITH n, taken, CASE WHEN any(u IN users WHERE {joined(schema, 'u', 'i')}) THEN 1 ELSE 0 END AS shared "
        "UNWIND [label IN labels(n) WHERE label IN $labels] AS label "
        "RETURN label, count(*) AS links, sum(shared) AS shared, sum(1.0 * taken) AS chance",
        labels=labels,
        feedback=sorted(schema.direct_types),
    )
    pairs, n_items = _feedback_pairs(connection, schema), contents.labels[schema.item.label]
    single = {
        row["label"]
        for row in rows
        if row["owned"] >= _OWNED * contents.labels[row["label"]] and row["single"] >= _SINGLE * row["owned"]
    }
    return {
        row["label"]: (row["links"], row["shared"])
        for row in counts
        if (row["label"] in single or row["shared"] >= _COVERED * pairs)
        and _repeats(row["links"], row["shared"], row["chance"] / n_items, row["links"])
    }


def _is_owned(row: dict[str, Any], contents: Contents) -> bool:
    return (
        row["owned"] >= _OWNED * contents.labels[row["label"]]
        and row["single"] >= _SINGLE * row["owned"]
        and row["owners"] >= _LEAST_OWNERS
    )


def _owned_by_items(connection: Connection, schema: GraphSchema, contents: Contents) -> list[OwnedLabel]:
    """Return what `find_owned` returns, for a graph in which users are also the items."""
    person = quote(schema.user.label)
    candidates = _next_to({schema.user.label}, schema, contents)
    if not candidates or not _has_feedback(schema, contents):
        return []
    rows = connection.rows(
        f"MATCH (n{_listed(candidates)})-[r]-(p:{person}) WHERE NOT n:{person} AND NOT type(r) IN $feedback "
        "AND any(label IN labels(n) WHERE label IN $labels) "
        "WITH n, type(r) AS name, startNode(r) = n AS leaves, collect(DISTINCT p) AS people "
        "UNWIND [label IN labels(n) WHERE label IN $labels] AS label "
        "RETURN label, name, leaves, count(*) AS n, sum(CASE size(people) WHEN 1 THEN 1 ELSE 0 END) AS single, "
        "count(DISTINCT people[0]) AS owners",
        labels=sorted(candidates),
        feedback=sorted(schema.direct_types),
    )
    belongs = [
        row
        for row in rows
        if _is_owned({**row, "owned": row["n"]}, contents) and any(_leads_on(row, other) for other in rows)
    ]
    found = {}
    for row in belongs[:MOST_NAMES]:
        arrow = ("<-", "-") if not row["leaves"] else ("-", "->")
        (pairs,) = schema_rows(
            connection,
            schema,
            f"MATCH (n:{quote(row['label'])}){arrow[0]}[own:{quote(row['name'])}]{arrow[1]}(p:{person}) "
            f"MATCH (n)-[r]-(q:{person}) WHERE r <> own AND p <> q WITH DISTINCT p, q "
            f"WITH p, CASE WHEN {joined(schema, 'p', 'q')} THEN 1 ELSE 0 END AS shared "
            "WITH p, count(*) AS pairs, sum(shared) AS shared "
            f"WITH pairs, shared, {count_between(schema, 'p')} AS n "
            "RETURN sum(pairs) AS pairs, sum(shared) AS shared, sum(1.0 * pairs * n) AS chance",
        )
        chance = pairs["chance"] / contents.labels[schema.item.label]
        twice = (2 * pairs["pairs"], 2 * pairs["shared"], 2 * chance)  # counted from either end, like the feedback's
        if _repeats(*twice, _feedback_pairs(connection, schema)):
            found[row["label"]] = OwnedLabel(row["label"], contents.labels[row["label"]], schema.user.label)
    return list(found.values())


def _leads_on(row: dict[str, Any], other: dict[str, Any]) -> bool:
    """Return whether two rows have the same label, but differ in relationship type or direction.

    Both are rows of the query in `_owned_by_items`.
    """
    return row["label"] == other["label"] and (row["name"], row["leaves"]) != (other["name"], other["leaves"])


def _may_join(contents: Contents, name: str, user: str, item: str) -> bool:
    (from_user, to_user), (from_item, to_item) = contents.at(name, user), contents.at(name, item)
    return bool((from_user and to_item) or (from_item and to_user))


def _listed(names: Iterable[str]) -> str:
    """Return names as part of a Cypher pattern, such as :`A`|`B`; "" if there are many.

    A query with many names would take long to plan. It may omit them here, because its WHERE clause also tests them.
    """
    names = sorted(names)
    return ":" + "|".join(quote(name) for name in names) if len(names) <= MOST_NAMES else ""
