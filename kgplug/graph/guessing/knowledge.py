"""Guess what of a graph is knowledge: the types to learn from, and the key of each label that they touch."""

from __future__ import annotations

from kgplug.graph.connection import Connection
from kgplug.graph.contents import Contents, label_keys
from kgplug.graph.guessing.keys import Guessed
from kgplug.graph.guessing.profiles import TypeProfile
from kgplug.graph.guessing.toml import comment, entry
from kgplug.graph.reading.triples import plan_triples
from kgplug.graph.schema import GraphSchema, KnowledgeSchema


def guess_knowledge(
    connection: Connection,
    contents: Contents,
    schema: GraphSchema,
    profiles: list[TypeProfile],
    keys: dict[str, Guessed],
) -> tuple[KnowledgeSchema, list[str]]:
    """Return the schema's part on knowledge, and its lines with the reasons.

    Args:
        connection: to the database.
        contents: of the database.
        schema: with users, items and feedback.
        profiles: of the types.
        keys: label → its guessed key.
    """
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
        lines += comment("No relationships but the feedback: there is no knowledge to learn from.")
    why = "the types above whose ends have keys" if left_out else "empty: all types but the feedback"
    lines += entry("relationships", names, why)
    for sentence in plan.left_out(schema):
        lines += comment(sentence)
    lines += entry("include", [], "labels and types named here are learnt from although they say who takes what")
    if schema.user.label != schema.item.label and any(schema.user.label in (one.heads, one.tails) for one in readable):
        lines += comment(f":{schema.user.label} nodes are entities, too, where they take part in the types above")
        lines += ["users = true"]
    lines += ["", "[knowledge.keys]"]
    written = {}
    apart = {schema.user.label, schema.item.label, *(one.label for one in plan.owned)}
    for label, guessed in sorted(keys.items()):
        if label in apart or not any(any(contents.at(one.name, label)) for one in readable):
            continue
        lines += entry(label, guessed.value, guessed.why)
        if guessed.value is not None:
            written[label] = guessed.value
    return KnowledgeSchema(relationships=names, keys=written), lines


def _has_key(label_sets: list[tuple[str, ...]], known: set[str]) -> bool:
    return all(known & set(labels) for labels in label_sets)
