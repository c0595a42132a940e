"""Decide which relationships are triples to learn from, and report what is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from kgplug.errors import DataError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.catalog import OWN_LABELS, OWN_RELATIONSHIPS
from kgplug.graph.contents import Contents, listed, require_type
from kgplug.graph.counts import MOST_NAMES, count_patterns
from kgplug.graph.knowledge_schema import splits_of
from kgplug.graph.members import is_outside
from kgplug.graph.ownership import count_own, not_own
from kgplug.graph.queries import quote
from kgplug.graph.reading.bulk import BulkReader, Wanted
from kgplug.graph.reading.leakage import OwnedLabel, RepeatingType, find_owned, find_repeating
from kgplug.graph.reading.relations import RepeatingPattern, find_repeating_patterns
from kgplug.graph.reading.relations import setting_of as pattern_setting
from kgplug.graph.schema import GraphSchema
from kgplug.plain_text import counted

_PAIRS = (("n", "o"), ("o", "n"))  # Cypher variables of (head, tail): first with node n as the head, then as the tail


@dataclass(frozen=True)
class Rule:
    """A reason to leave relationships out.

    Attributes:
        touched: types of which some or all relationships may be left out.
        emptied: types of which all relationships are left out.
        condition: function that takes the Cypher variables of head and tail, and returns a Cypher condition that is
            true if the relationship r between them is kept.
        why: the reason, to complete a sentence about a type, such as "was written by kgplug".
    """

    touched: list[str]
    emptied: list[str]
    condition: Callable[[str, str], str]
    why: str


@dataclass(frozen=True)
class TriplePlan:
    """A plan that says which relationships to read as triples, and which are left out.

    Attributes:
        wanted: the relationships to read.
        rules: the rules that leave relationships out.
        own: number of relationships of the chosen types that are left out because kgplug wrote them.
        owned: labels whose nodes repeat the feedback. These nodes and their relationships are left out.
        repeating: types that are left out because they repeat the feedback.
        unused: a sentence for each name in the schema that has no effect, and for each pattern that is read although it
            repeats the feedback.
        passed: labels and types that are left out because a pattern of the feedback leads through them.
        written: type → number of relationships that are left out because kgplug wrote them. Relationships of kgplug's
            own nodes (`KgplugModel`, `KgplugRun`, `KgplugRelation`) count in `own`, but not here.
        patterns, properties: names of the patterns and properties to read.
        repeating_patterns: patterns that are left out because they repeat the feedback.
    """

    wanted: Wanted
    rules: list[Rule] = field(default_factory=list[Rule])
    own: int = 0
    owned: list[OwnedLabel] = field(default_factory=list[OwnedLabel])
    repeating: list[RepeatingType] = field(default_factory=list[RepeatingType])
    unused: list[str] = field(default_factory=list[str])
    written: dict[str, int] = field(default_factory=dict[str, int])
    passed: list[str] = field(default_factory=list[str])
    patterns: list[str] = field(default_factory=list[str])
    properties: list[str] = field(default_factory=list[str])
    repeating_patterns: list[RepeatingPattern] = field(default_factory=list[RepeatingPattern])

    def left_out(self, schema: GraphSchema) -> Iterator[str]:
        """Yield a sentence for each label and type that is left out because it repeats the feedback."""
        for name in self.passed:
            yield (
                f":{name} is part of the feedback's pattern, between :{schema.user.label} and :{schema.item.label}. "
                f"Left out, because this repeats the feedback. To use :{name} anyway, add it to [knowledge] include."
            )
        for one in self.owned:
            if one.links:
                yield (
                    f"{one.n:,} :{one.label} lead from :{schema.user.label} to :{schema.item.label}; "
                    f"{one.repeated:,} of these {one.links:,} paths match the feedback ({_types(schema)}). "
                    f"Left out, because this repeats the feedback. To use :{one.label} anyway, add it to [knowledge] "
                    "include."
                )
                continue
            owner = f"one :{one.owner}" if one.owner == schema.user.label else f"one :{one.owner}, so to one user,"
            belong, lead = ("node belongs", "leads") if one.n == 1 else ("nodes each belong", "lead")
            yield (
                f"{one.n:,} :{one.label} {belong} to {owner} and {lead} to :{schema.item.label}. Left out, because "
                f"this repeats the feedback. To use :{one.label} anyway, add it to [knowledge] include."
            )
        for repeating in self.repeating:
            pairs = counted(repeating.pairs, "pair")
            yield (
                f":{repeating.type} joins {pairs} of :{schema.user.label} and :{schema.item.label}, "
                f"{repeating.shared:,} of them also joined by {_types(schema)}. Left out, because this "
                f"repeats the feedback. To use :{repeating.type} anyway, add it to [knowledge] include."
            )
        for one in self.repeating_patterns:
            yield (
                f"{pattern_setting(one.name)} leads through {one.through}. Left out, because this repeats the "
                f"feedback. To use {one.name} anyway, add it to [knowledge] include."
            )


def plan_triples(connection: Connection, schema: GraphSchema, contents: Contents) -> TriplePlan:
    """Return the relationships to read as triples.

    These are all relationships of the chosen types, except the feedback, what repeats it
    (`kgplug.graph.reading.leakage`), and what kgplug wrote. Users are entities, unless the schema says users = false.

    Raises:
        DataError: the schema names a type that the database does not have, or excludes the items.
    """
    knowledge = schema.knowledge
    if schema.item.label in knowledge.exclude:
        raise DataError(
            f"[knowledge] exclude has {schema.item.label}, the label of the items.",
            advice="Remove it, or exclude the relationship types that should not be read.",
        )
    chosen = sorted(set(knowledge.relationships))
    for name in chosen:
        require_type(contents, name, setting="[knowledge] relationships")
    names = chosen or list(contents.types)
    include = knowledge.include
    written = {name: count_own(connection, name) for name in OWN_RELATIONSHIPS if name in names}
    theirs = [name for name in names if written.get(name, 0) < contents.types[name]]
    # Tenants that share labels share what these mean. But a type may repeat the feedback of one tenant only.
    everybody = schema.without_conditions()
    owned = find_owned(connection, everybody, contents)
    # A pattern may lead through types that are not read as triples.
    suspected = list(contents.types) if knowledge.patterns else theirs
    repeating = find_repeating(connection, everybody, contents, suspected)
    if schema.has_conditions:
        rest = [name for name in suspected if name not in {one.type for one in repeating}]
        repeating += find_repeating(connection, schema, contents, rest)
    passed, through = _passed(schema, contents)
    again = find_repeating_patterns(
        connection,
        schema,
        contents,
        {*passed, *(one.label for one in owned)} - {*include},
        {*through, *(one.type for one in repeating)} - {*include},
    )
    telling = {*(one.label for one in owned), *(one.type for one in repeating), *passed, *through}
    telling |= {one.name for one in again}
    passed = [one for one in passed if one not in include and any(any(contents.at(t, one)) for t in names)]
    through = [one for one in through if one not in include and one in names]
    owned = [
        one
        for one in owned
        if one.label not in {*include, *passed} and any(any(contents.at(t, one.label)) for t in names)
    ]
    repeating = [one for one in repeating if one.type not in {*include, *through} and one.type in theirs]
    rules = [
        *_end_rules(contents, names, passed, "touches nodes that the feedback leads through"),
        *(Rule([one], [one], _not_of(quote(one)), "is part of the feedback's pattern") for one in through),
        *_pair_rules(connection, schema, contents, names, [one.type for one in repeating]),
        *_own_rules(connection, contents, written),
        *_end_rules(contents, names, list(contents.own), "was written by kgplug"),
        *_end_rules(
            contents, names, [one.label for one in owned if not one.links], "touches nodes that belong to one user each"
        ),
        *_end_rules(
            contents, names, [one.label for one in owned if one.links], "touches nodes that repeat the feedback"
        ),
        *_user_rules(schema, contents, names),
        *_tenant_rules(schema, contents, names),
        *_end_rules(contents, names, sorted({*knowledge.exclude} & contents.labels.keys()), "touches excluded nodes"),
    ]
    # type → why all its relationships are left out; "" if some may be kept
    left = {name: "is excluded" if name in knowledge.exclude else "" for name in names}
    for rule in rules:
        left |= {name: rule.why for name in rule.emptied if not left[name]}
    wanted = {name: contents.types[name] for name in names if not left[name]}
    rules = [rule for rule in rules if set(rule.touched) & wanted.keys()]
    where = " AND ".join(rule.condition("a", "b") for rule in rules)
    unused = [f"[knowledge] relationships has {name}, but all of it {left[name]}." for name in chosen if left[name]]
    unused += _unused_names(schema, contents, telling)
    properties = {name: _why_not_read(schema, contents, name) for name in knowledge.properties}
    unused += [why for why in properties.values() if why]
    unused += [_too_good(one) for one in again if one.name in include]
    again = [one for one in again if one.name not in include]
    others = {name: n for name, n in contents.types.items() if name not in wanted}
    own = sum(written.values()) + _count_catalogue(connection, contents, names)
    return TriplePlan(
        Wanted(wanted, others, where),
        rules,
        own,
        owned,
        repeating,
        unused,
        written,
        passed + through,
        [name for name in knowledge.patterns if name not in {one.name for one in again}],
        [name for name, why in properties.items() if not why],
        again,
    )


def count_triples(connection: Connection, plan: TriplePlan) -> dict[str, int]:
    """Return type → number of triples.

    The plan has the number for most types. A query counts only types of which some relationships may be left out.
    """
    counts = dict(plan.wanted.types)
    partly = [name for name in counts if any(name in rule.touched for rule in plan.rules)]
    if partly:
        kinds = f":{_any(partly)}" if len(partly) <= MOST_NAMES else ""
        rows = connection.rows(
            f"MATCH (a)-[r{kinds}]->(b) WHERE type(r) IN $names AND {plan.wanted.where} "
            "RETURN type(r) AS name, count(*) AS n",
            names=partly,
        )
        counts |= dict.fromkeys(partly, 0) | {row["name"]: row["n"] for row in rows}
    return counts


def touched_nodes(
    connection: Connection, plan: TriplePlan, bulk: BulkReader, others: np.ndarray
) -> dict[tuple[str, ...], int]:
    """Count the nodes in triples by their labels.

    Return combination of labels → number of nodes with exactly these labels. A combination is a sorted tuple.

    Args:
        connection: connection to the database.
        plan: the relationships to read as triples.
        bulk: reader for the database.
        others: int64 (n,), ids of nodes in further triples, as in `Edges`.
    """
    names = sorted(plan.wanted.types)
    kinds = f":{_any(names)}" if 0 < len(names) <= MOST_NAMES else ""
    ends = [" AND ".join(["type(r) IN $names", *(rule.condition(*pair) for rule in plan.rules)]) for pair in _PAIRS]
    arrows = ("-", "->"), ("<-", "-")
    touched = " OR ".join(
        f"EXISTS {{ MATCH (n){left}[r{kinds}]{right}(o) WHERE {end} }}"
        for (left, right), end in zip(arrows, ends, strict=True)
    )
    rows: list[tuple[list[str], int]] = []
    if names:
        found = connection.rows(f"MATCH (n) WHERE {touched} RETURN labels(n) AS labels, count(*) AS n", names=names)
        rows += [(row["labels"], row["n"]) for row in found]
    if len(others):
        nodes = bulk.nodes(others, f"CASE WHEN {touched} THEN 1 ELSE 0 END", "labels(n)", names=names)
        rows += [(labels, 1) for labels in nodes.keys[nodes.codes == 0]]
    counts: dict[tuple[str, ...], int] = {}
    for its_labels, n in rows:
        labels = tuple(sorted(its_labels))
        counts[labels] = counts.get(labels, 0) + n
    return counts


def empty_projection(schema: GraphSchema, contents: Contents, plan: TriplePlan) -> DataError:
    """Return the error for a graph in which no triples are left to read. Its message says what was left out."""
    where, named = f'in database "{contents.database}"', schema.knowledge.relationships
    chosen = listed(named or contents.types) or "there are none"
    left_out = " ".join([*(text for text in plan.unused if "relationships has" in text), *plan.left_out(schema)])
    advice = "Set [knowledge] relationships to other types, or to [] for all types." if named else ""
    if not schema.knowledge.users:
        advice = (
            f"Set users = true under [knowledge] to learn from relationships of :{schema.user.label}. {advice}".strip()
        )
    elif not advice and not left_out:
        advice = (
            f"The only relationships are feedback ({_types(schema)}). Add relationships between "
            f":{schema.item.label} and other nodes, such as genres, or train a model without a knowledge graph."
        )
    return DataError(f"No triples {where} of the chosen types ({chosen}). {left_out}".strip(), advice=advice)


def _own_rules(connection: Connection, contents: Contents, written: dict[str, int]) -> Iterator[Rule]:
    """Yield one rule that leaves out the relationships that kgplug wrote; yield nothing if it wrote none.

    Args:
        written: type → number of relationships that kgplug wrote.
    """
    touched = [name for name, n in written.items() if n]
    if touched:
        emptied = [name for name in touched if written[name] >= contents.types[name]]
        condition = f"(NOT r:{_any(touched)} OR {not_own(connection, touched[0])})"
        yield Rule(touched, emptied, lambda *_: condition, "was written by kgplug")


def _end_rules(contents: Contents, names: list[str], labels: list[str], why: str) -> Iterator[Rule]:
    """Yield one rule that leaves out relationships whose head or tail has one of the labels.

    `names` are relationship types. If no relationship of these types has such a head or tail, yield nothing. `why` is
    the reason, as in `Rule`.
    """
    touched, emptied = [], []
    for name in names:
        at = [contents.at(name, label) for label in labels]
        if any(max(n) for n in at):
            touched.append(name)
        if contents.ends is not None and any(max(n) >= contents.types[name] for n in at):
            emptied.append(name)
    if touched:
        yield Rule(touched, emptied, lambda a, b: f"NOT {a}:{_any(labels)} AND NOT {b}:{_any(labels)}", why)


def _passed(schema: GraphSchema, contents: Contents) -> tuple[list[str], list[str]]:
    """Return the labels and the types that repeat the feedback, because one of its patterns leads through them.

    If all nodes between user and item have labels in a pattern, the labels suffice: they cover its relationships. The
    labels of users and items do not, because they are not left out.
    """
    ends = {schema.user.label, schema.item.label}
    uncovered = [names.types for kind in schema.feedback if (names := kind.names).has_unlabelled or names.labels & ends]
    return (
        sorted(schema.feedback_labels & contents.labels.keys()),
        sorted(frozenset[str]().union(*uncovered) & contents.types.keys()),
    )


def _not_of(kind: str) -> Callable[[str, str], str]:
    return lambda *_: f"NOT r:{kind}"


def _user_rules(schema: GraphSchema, contents: Contents, names: list[str]) -> Iterator[Rule]:
    """Yield a rule that leaves out relationships of users, if the schema says users = false and users are not items.

    `names` are the relationship types to read.
    """
    if not schema.knowledge.users and schema.user.label != schema.item.label and schema.user.label in contents.labels:
        yield from _end_rules(contents, names, [schema.user.label], "touches users (users = false)")


def _tenant_rules(schema: GraphSchema, contents: Contents, names: list[str]) -> Iterator[Rule]:
    """Yield one rule that leaves out the users and items for which the schema's conditions are not true.

    `names` are the relationship types to read.
    """
    if is_outside(schema, "n"):
        labels = (schema.user.label, schema.item.label)
        touched = [name for name in names if any(any(contents.at(name, label)) for label in labels)]
        why = "touches users or items that the conditions leave out"
        yield Rule(touched, [], lambda a, b: f"NOT {is_outside(schema, a)} AND NOT {is_outside(schema, b)}", why)


def _pair_rules(
    connection: Connection, schema: GraphSchema, contents: Contents, names: list[str], repeating: list[str]
) -> Iterator[Rule]:
    """Yield rules that leave out the feedback and the `repeating` types between users and items, in both directions.

    `names` are the relationship types to read.
    """
    user, item = schema.user.label, schema.item.label
    if user not in contents.labels:
        return
    u, i = quote(user), quote(item)
    reasons = dict.fromkeys(sorted(schema.direct_types), "is the feedback, which is never knowledge")
    reasons |= dict.fromkeys(repeating, "repeats the feedback")
    for name, why in reasons.items():
        if name not in names:
            continue
        forward, backward = _between(connection, contents, name, user, item)
        if forward or backward:
            emptied = [name] if max(forward, backward) >= contents.types[name] else []
            yield Rule([name], emptied, _not_between(quote(name), u, i), why)


def _not_between(kind: str, u: str, i: str) -> Callable[[str, str], str]:
    return lambda a, b: f"NOT (r:{kind} AND (({a}:{u} AND {b}:{i}) OR ({a}:{i} AND {b}:{u})))"


def _between(connection: Connection, contents: Contents, name: str, user: str, item: str) -> tuple[int, int]:
    """Return upper bounds of the numbers of relationships of a type from users to items, and from items to users."""
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


def _count_catalogue(connection: Connection, contents: Contents, names: list[str]) -> int:
    """Return how many relationships of the types `names` touch a node of kgplug's catalogue (`OWN_LABELS`)."""
    if not contents.own:
        return 0
    (row,) = connection.rows(
        f"MATCH (n:{_any(OWN_LABELS)})-[r]-() WHERE type(r) IN $names RETURN count(DISTINCT r) AS n", names=names
    )
    return row["n"]


def _unused_names(schema: GraphSchema, contents: Contents, telling: set[str]) -> list[str]:
    """Return sentences on names in the schema that the database does not have, or that have no effect.

    Args:
        telling: the labels and types that repeat the feedback. The setting `include` makes kgplug read such a label or
            type all the same; on any other name it has no effect.
    """
    known = contents.labels.keys() | contents.types.keys() | schema.knowledge.patterns.keys()
    item = schema.item.label
    unused = [] if item in known else [f"[item] label is {item}, but no node has this label: no entity is an item."]
    for one in schema.knowledge.include:
        if one not in telling:
            why = "is read anyway" if one in known else "is neither a label nor a type"
            unused.append(f"[knowledge] include has {one}, which {why}.")
    unused += [
        f"[knowledge] exclude has {one}, which is neither a label nor a type."
        for one in schema.knowledge.exclude
        if one not in contents.labels and one not in contents.types
    ]
    return unused + [
        f"[knowledge.keys] has {label}, but no node has this label."
        for label in schema.knowledge.keys
        if label not in contents.labels
    ]


def _too_good(one: RepeatingPattern) -> str:
    """Return a sentence on a pattern that repeats the feedback and is read all the same."""
    return (
        f"{pattern_setting(one.name)} leads through {one.through}, and [knowledge] include reads it: the evaluation "
        "will look too good, because the pattern contains the test set's feedback."
    )


def _why_not_read(schema: GraphSchema, contents: Contents, name: str) -> str:
    """Return a sentence that says why a property is not read; "" if it is read."""
    label = next((label for label, _ in splits_of(name) if label in contents.labels), "")
    if label in schema.knowledge.exclude:
        return f"[knowledge.properties] {name} has no effect, because [knowledge] exclude has {label}."
    if label == schema.user.label != schema.item.label and not schema.knowledge.users:
        return f"[knowledge.properties] {name} has no effect, because of users = false."
    return ""


def _types(schema: GraphSchema) -> str:
    """Return the feedback's types for a message, such as :RATED; of a pattern without types, the pattern."""
    return ", ".join(f":{name}" for name in sorted(schema.feedback_types)) or schema.pattern


def _any(names: Iterable[str]) -> str:
    return "|".join(quote(name) for name in names)
