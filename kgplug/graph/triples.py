"""Decide which relationships are triples to learn from, and name what is left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from kgplug.errors import DataError
from kgplug.graph.bulk import Wanted
from kgplug.graph.catalog import OWN_LABELS, OWN_RELATIONSHIPS
from kgplug.graph.connection import Connection
from kgplug.graph.contents import Contents, listed, require_label, require_type
from kgplug.graph.counts import count_patterns
from kgplug.graph.cypher import quote
from kgplug.graph.feedback import NOT_OWN, count_own
from kgplug.graph.leakage import OwnedLabel, RepeatingType, find_owned, find_repeating
from kgplug.graph.schema import GraphSchema


@dataclass(frozen=True)
class TriplePlan:
    """What is to be read as triples.

    Attributes:
        wanted: the relationships.
        own: how many of the chosen types kgplug wrote, which are left out.
        owned: labels whose nodes belong to one user each, left out with their relationships.
        repeating: types that repeat the feedback, left out.
        unused: a sentence for each thing that the schema asks for and that is not used.
    """

    wanted: Wanted
    own: int = 0
    owned: list[OwnedLabel] = field(default_factory=list)
    repeating: list[RepeatingType] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)

    def left_out(self, schema: GraphSchema) -> Iterator[str]:
        """Yield a sentence for each kind of node and each type that is left out because it tells of feedback."""
        for one in self.owned:
            owner = f"one :{one.owner}" if one.owner == schema.user.label else f"one :{one.owner}, so to one user"
            yield (
                f"{one.n:,} :{one.label} belong to {owner}, and lead to :{schema.item.label}: left out, as they say who "
                f"takes what. To learn from them all the same, name {one.label} under [knowledge] include."
            )
        for repeating in self.repeating:
            yield (
                f":{repeating.type} joins {repeating.pairs:,} pairs of :{schema.user.label} and :{schema.item.label}, "
                f"{repeating.shared:,} of them joined by :{schema.feedback.type}, too: left out, as it repeats the "
                f"feedback. To learn from it all the same, name {repeating.type} under [knowledge] include."
            )


def plan_triples(connection: Connection, schema: GraphSchema, contents: Contents) -> TriplePlan:
    """Return the relationships to read as triples.

    These are all of the chosen types but the feedback, what repeats it (`kgplug.graph.leakage`), and what kgplug
    wrote; users are entities like others unless the schema says no.

    Raises:
        DataError: the item label or a type of the schema is not in the database.
    """
    require_label(contents, schema.item.label, setting="[item] label")
    chosen = sorted(set(schema.knowledge.relationships))
    for name in chosen:
        require_type(contents, name, setting="[knowledge] relationships")
    names = chosen or list(contents.types)
    include = schema.knowledge.include
    owned = [one for one in find_owned(connection, schema, contents) if one.label not in include]
    repeating = [one for one in find_repeating(connection, schema, contents, names) if one.type not in include]
    rules = [
        *_own_rules(connection, names),
        *_end_rules(contents, names, [[label] for label in contents.own], "was written by kgplug"),
        *_end_rules(
            contents, names, [[one.label] for one in owned], "starts or ends at nodes that belong to one user each"
        ),
        *_user_rules(schema, contents, names),
        *_pair_rules(connection, schema, contents, names, [one.type for one in repeating]),
    ]
    left = dict.fromkeys(names, "")  # type → why nothing of it is left, "" where something is
    for rule in rules:
        left |= {name: rule.why for name in rule.emptied if not left[name]}
    wanted = {name: contents.types[name] for name in names if not left[name]}
    where = " AND ".join(rule.condition for rule in rules if rule.condition and set(rule.touched) & wanted.keys())
    unused = [f"[knowledge] relationships names {name}, and all of it {left[name]}." for name in chosen if left[name]]
    unused += _unknown_names(schema, contents)
    others = {name: n for name, n in contents.types.items() if name not in wanted}
    own = _count_written(connection, contents, names)
    return TriplePlan(Wanted(wanted, others, where), own, owned, repeating, unused)


def empty_projection(schema: GraphSchema, contents: Contents, plan: TriplePlan) -> DataError:
    """Build the error for a graph without a triple, with what was left out."""
    where, named = f'in database "{contents.database}"', schema.knowledge.relationships
    chosen = listed(named or contents.types) or "there are none"
    left_out = " ".join([*plan.unused, *plan.left_out(schema)])
    advice = "Set [knowledge] relationships to other types, or to none for all." if named else ""
    if not schema.knowledge.users:
        advice = f"Set users = true under [knowledge] to learn from what touches :{schema.user.label}. {advice}".strip()
    elif not advice and not left_out:
        advice = (
            f"Only feedback is there (:{schema.feedback.type}). Add relationships between :{schema.item.label} and "
            "other nodes, such as their genres; models without a knowledge graph can be trained as it is."
        )
    return DataError(f"No triples {where} of the chosen types ({chosen}). {left_out} {advice}".replace("  ", " ").strip())


@dataclass(frozen=True)
class _Rule:
    """A reason for which relationships are left out.

    Attributes:
        touched: types of which some may be left out.
        emptied: those of them of which nothing is left.
        condition: true for what stays, on a, r and b in (a)-[r]->(b).
        why: the end of a sentence about an emptied type.
    """

    touched: list[str]
    emptied: list[str]
    condition: str
    why: str


def _own_rules(connection: Connection, names: list[str]) -> Iterator[_Rule]:
    """Leave out relationships that kgplug wrote."""
    touched = [name for name in OWN_RELATIONSHIPS if name in names]
    if touched:
        yield _Rule(touched, [], f"(NOT r:{_any(touched)} OR {NOT_OWN})", "was written by kgplug")


def _end_rules(contents: Contents, names: list[str], groups: Iterable[list[str]], why: str) -> Iterator[_Rule]:
    """Leave out relationships that touch nodes with one of the labels of a group."""
    for labels in groups:
        at = {name: [sum(n) for n in zip(*(contents.at(name, label) for label in labels), strict=True)] for name in names}
        touched = [name for name, n in at.items() if any(n)]
        emptied = [name for name in touched if contents.ends is not None and max(at[name]) >= contents.types[name]]
        if touched:
            yield _Rule(touched, emptied, f"NOT a:{_any(labels)} AND NOT b:{_any(labels)}", why)


def _user_rules(schema: GraphSchema, contents: Contents, names: list[str]) -> Iterator[_Rule]:
    """Leave out users, where the schema says so, unless they are the items."""
    if not schema.knowledge.users and schema.user.label != schema.item.label and schema.user.label in contents.labels:
        yield from _end_rules(contents, names, [[schema.user.label]], "starts or ends at users (users = false)")


def _pair_rules(
    connection: Connection, schema: GraphSchema, contents: Contents, names: list[str], repeating: list[str]
) -> Iterator[_Rule]:
    """Leave out the feedback and what repeats it: relationships between a user and an item, either way round."""
    user, item = schema.user.label, schema.item.label
    if user not in contents.labels:
        return
    u, i = quote(user), quote(item)
    reasons = {schema.feedback.type: "is the feedback, which is never learnt as knowledge"}
    reasons |= dict.fromkeys(repeating, "repeats the feedback")
    for name, why in reasons.items():
        if name not in names:
            continue
        forward, backward = _between(connection, contents, name, user, item)
        if forward or backward:
            emptied = [name] if max(forward, backward) >= contents.types[name] else []
            condition = f"NOT (r:{quote(name)} AND ((a:{u} AND b:{i}) OR (a:{i} AND b:{u})))"
            yield _Rule([name], emptied, condition, why)


def _between(connection: Connection, contents: Contents, name: str, user: str, item: str) -> tuple[int, int]:
    """Return how many relationships of a type may lead from users to items, and from items to users."""
    if contents.ends is not None:
        (from_user, to_user), (from_item, to_item) = contents.at(name, user), contents.at(name, item)
    else:
        u, i, kind = quote(user), quote(item), quote(name)
        n = count_patterns(
            connection,
            {
                "from user": f"(:{u})-[n:{kind}]->()",
                "to user": f"()-[n:{kind}]->(:{u})",
                "from item": f"(:{i})-[n:{kind}]->()",
                "to item": f"()-[n:{kind}]->(:{i})",
            },
        )
        from_user, to_user, from_item, to_item = n.values()
    return min(from_user, to_item), min(from_item, to_user)


def _count_written(connection: Connection, contents: Contents, names: list[str]) -> int:
    """Return how many relationships of the chosen types kgplug wrote: its lists, and those of its catalogue."""
    n = sum(count_own(connection, name) for name in OWN_RELATIONSHIPS if name in names)
    if contents.own:
        (row,) = connection.rows(
            f"MATCH (n:{_any(OWN_LABELS)})-[r]-() WHERE type(r) IN $names RETURN count(DISTINCT r) AS n", names=names
        )
        n += row["n"]
    return n


def _unknown_names(schema: GraphSchema, contents: Contents) -> list[str]:
    """Return sentences on names in the schema that the database does not have."""
    known = contents.labels.keys() | contents.types.keys()
    unused = [f"[knowledge] include names {one}, which is no label and no type." for one in schema.knowledge.include if one not in known]
    unused += [
        f"[knowledge.keys] names {label}, a label that no node has."
        for label in schema.knowledge.keys
        if label not in contents.labels
    ]
    return unused


def _any(names: Iterable[str]) -> str:
    return "|".join(quote(name) for name in names)
