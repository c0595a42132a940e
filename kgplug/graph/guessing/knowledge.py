"""Guess the knowledge of a graph: the relationship types to learn from, and the key of each label at their ends."""

from __future__ import annotations

from typing import Any

from kgplug.graph.bolt.connection import Connection
from kgplug.graph.contents import Contents, label_keys
from kgplug.graph.counts import MOST_NAMES
from kgplug.graph.guessing.keys import SAMPLED_NODES, Guessed, quotable
from kgplug.graph.guessing.profiles import TypeProfile
from kgplug.graph.guessing.properties import propose_properties
from kgplug.graph.guessing.toml import comment, entry, toml_string
from kgplug.graph.queries import quote
from kgplug.graph.reading.triples import plan_triples
from kgplug.graph.schema import GraphSchema, KnowledgeSchema

_MOST_LOOKED_AT = 2_000_000  # maximum number of nodes that the query in `_never_first` may read


def guess_knowledge(
    connection: Connection,
    contents: Contents,
    schema: GraphSchema,
    profiles: list[TypeProfile],
    keys: dict[str, Guessed],
    *,
    exclude: list[str],
    properties: dict[str, list[Any]],
    all_keys: bool,
) -> tuple[KnowledgeSchema, list[str]]:
    """Return the knowledge section of the schema, and its lines for kgplug.toml with the reasons as comments.

    Args:
        connection: connection to the database.
        contents: contents of the database.
        schema: the guessed users, items and feedback.
        profiles: profiles of the types.
        keys: label → its guessed key.
        exclude: relationship types that would reveal the feedback.
        properties: property → values of sampled items.
        all_keys: whether to write the keys of all labels, for a user who may choose other feedback.
    """
    schema = schema.model_copy(update={"knowledge": KnowledgeSchema(exclude=exclude)})
    plan = plan_triples(connection, schema, contents)
    known = {label for label, key in keys.items() if key.value is not None} | {schema.item.label, schema.user.label}
    known |= label_keys(schema, contents.unique).keys()
    among = [one for one in profiles if one.name in plan.wanted.types]
    readable = [one for one in among if _has_key(one.head_labels, known) and _has_key(one.tail_labels, known)]
    left_out = {one.name for one in among} - {one.name for one in readable}
    names = sorted(one.name for one in readable) if left_out else []
    lines = ["[knowledge]"]
    for one in among:
        note = " (left out: an end has no key)" if one.name in left_out else ""
        lines += comment(f"{one.name}: {one.n:,}, (:{one.heads or '…'})-->(:{one.tails or '…'}){note}")
    if not among:
        lines += comment("The only relationships are feedback, so there is no knowledge to learn from.")
    why = "the types above whose ends have keys" if left_out else "empty: all types except the feedback"
    lines += entry("relationships", names, why)
    for sentence in plan.left_out(schema):
        lines += comment(sentence)
    lines += entry("include", [], "labels and types to learn from although they repeat the feedback")
    why = "labels and types that are never read"
    if exclude:
        why = "further feedback between the same users and items, which would reveal what to predict"
    lines += entry("exclude", exclude, why)
    if schema.user.label != schema.item.label and any(schema.user.label in (one.heads, one.tails) for one in readable):
        lines += comment(f":{schema.user.label} nodes with relationships of the types above are also entities")
        lines += ["users = true"]
    rules, property_lines = _properties(contents, schema, profiles, properties)
    lines += property_lines
    lines += ["", "[knowledge.keys]"]
    apart = {schema.user.label, schema.item.label, *(one.label for one in plan.owned)}
    among = profiles if all_keys else readable
    touched = {
        label: guessed
        for label, guessed in sorted(keys.items())
        if (all_keys and label not in contents.unique) or label not in apart
        if any(any(contents.at(one.name, label)) for one in among)
    }
    written = {label: guessed.value for label, guessed in touched.items() if guessed.value is not None}
    hidden = _never_first(connection, contents, schema, readable, written)
    for label, guessed in touched.items():
        if label not in hidden:
            lines += entry(label, guessed.value, guessed.why)
    if hidden:
        text = "their nodes have another label" if len(hidden) > 1 else "its nodes have another label"
        lines += comment(f"{', '.join(hidden)}: {text} with a key, which is used")
    keys_left = {label: key for label, key in written.items() if label not in hidden}
    knowledge = {"relationships": names, "exclude": exclude, "properties": rules, "keys": keys_left}
    return KnowledgeSchema.model_validate(knowledge), lines


def _properties(
    contents: Contents, schema: GraphSchema, profiles: list[TypeProfile], values: dict[str, list[Any]]
) -> tuple[dict[str, str], list[str]]:
    """Return the entries of [knowledge.properties], and its lines, which are [] if there is nothing to say.

    `values` has the values of sampled items by property.
    """
    label = schema.item.label
    next_to = [one for one in profiles if label in (one.heads, one.tails)]
    names = {name for one in next_to for name in (one.name, one.heads, one.tails) if name is not None}
    proposals = propose_properties(
        {name: values[name] for name in values if quotable(name)},
        min(contents.labels[label], SAMPLED_NODES),
        apart={schema.item.key, schema.item.title},
        neighbours=names - {label},
    )
    lines = ["", "[knowledge.properties]"] if proposals else []
    for one in proposals:
        text = f"{toml_string(f'{label}.{one.name}')} = {toml_string(one.rule or '')}"
        if one.rule is None:
            lines += comment(one.why)
        else:
            lines += [*comment(one.why), text if one.active else f"# {text}"]
    return {f"{label}.{one.name}": str(one.rule) for one in proposals if one.active}, lines


def _never_first(
    connection: Connection,
    contents: Contents,
    schema: GraphSchema,
    readable: list[TypeProfile],
    written: dict[str, str],
) -> list[str]:
    """Return the labels whose key is never used, because all their nodes have another label that takes precedence.

    Return [] if there are too many labels or nodes to check.

    Args:
        connection: connection to the database.
        contents: contents of the database.
        schema: the guessed users, items and feedback.
        readable: the types to learn from.
        written: label → key under [knowledge.keys].
    """
    known = schema.model_copy(update={"knowledge": KnowledgeSchema(keys=written)})
    order = list(label_keys(known, contents.unique))
    met = {labels for one in readable for labels in (*one.head_labels, *one.tail_labels)}
    first = {next((label for label in order if label in labels), "") for labels in met}
    seen = {label for labels in met for label in labels}
    possible = [label for label in written if label in seen and label not in first]
    if not possible or len(order) > MOST_NAMES or sum(contents.labels[label] for label in possible) > _MOST_LOOKED_AT:
        return []
    rows = connection.rows(
        f"MATCH (n:{'|'.join(map(quote, possible))}) "
        "RETURN DISTINCT head([label IN $order WHERE label IN labels(n)]) AS first",
        order=order,
    )
    used = {row["first"] for row in rows}
    return [label for label in possible if label not in used]


def _has_key(label_sets: list[tuple[str, ...]], known: set[str]) -> bool:
    return all(known & set(labels) for labels in label_sets)
