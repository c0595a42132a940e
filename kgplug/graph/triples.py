"""Decide which relationships are triples to learn from."""

from __future__ import annotations

from kgplug.errors import DataError
from kgplug.graph.bulk import Wanted
from kgplug.graph.catalog import OWN_LABELS, OWN_RELATIONSHIPS
from kgplug.graph.connection import Connection
from kgplug.graph.contents import Contents, count_all, listed, require_label, require_type
from kgplug.graph.cypher import quote
from kgplug.graph.feedback import NOT_OWN, count_own
from kgplug.graph.schema import GraphSchema


def wanted_triples(connection: Connection, schema: GraphSchema, contents: Contents) -> tuple[list[Wanted], int]:
    """Return the relationships to read as triples, and how many kgplug wrote, which are left out.

    Ends that are users are left out, unless users are the items too.

    Raises:
        DataError: the item label or a type of the schema is not in the database.
    """
    require_label(contents, schema.item.label, setting="[item] label")
    for name in schema.knowledge.relationships:
        require_type(contents, name, setting="[knowledge] relationships")
    names = sorted(set(schema.knowledge.relationships)) or list(contents.types)
    outside = {"own": "|".join(quote(label) for label in OWN_LABELS)}
    if schema.user.label != schema.item.label:
        outside["user"] = quote(schema.user.label)
    touching = _touching(connection, names, outside)
    wanted, own = [], 0
    for name in names:
        n, conditions = contents.types[name], []
        for which, labels in outside.items():
            heads, tails = touching[name, which]
            if which == "own":
                own += max(heads, tails)
            n = min(n, contents.types[name] - heads, contents.types[name] - tails)
            conditions += [f"NOT a:{labels}"] if heads else []
            conditions += [f"NOT b:{labels}"] if tails else []
        if name in OWN_RELATIONSHIPS:
            own += count_own(connection, name)
            conditions.append(NOT_OWN)
        if n > 0:
            wanted.append(Wanted(name, n, " AND ".join(conditions)))
    return wanted, own


def empty_projection(schema: GraphSchema, contents: Contents, wanted: list[Wanted]) -> DataError:
    """Build the error for a graph without a triple, naming the query that gave nothing."""
    where = f'in database "{contents.database}"'
    if not wanted:
        chosen = listed(schema.knowledge.relationships or contents.types) or "there are none"
        return DataError(
            f"No triples {where}: every relationship of the chosen types ({chosen}) starts or ends at a "
            f":{schema.user.label} node or was written by kgplug. Set [knowledge] relationships to types among the "
            "other nodes."
        )
    query = f"MATCH (a)-[r:{quote(wanted[0].type)}]->(b)" + (f" WHERE {wanted[0].where}" if wanted[0].where else "")
    others = f", and so for {listed([one.type for one in wanted[1:]])}" if len(wanted) > 1 else ""
    return DataError(
        f"No triples {where}: {query} RETURN count(r) gives 0{others}. Set [knowledge] relationships to types among "
        f"nodes that are no :{schema.user.label}."
    )


def _touching(
    connection: Connection, names: list[str], outside: dict[str, str]
) -> dict[tuple[str, str], tuple[int, int]]:
    """Count the relationships that start and that end at nodes left out: (type, which) → (heads, tails)."""
    patterns = {}
    for name in names:
        for which, labels in outside.items():
            for number, label in enumerate(labels.split("|") if which == "own" else [labels]):
                patterns[name, which, number, "heads"] = f"(:{label})-[n:{quote(name)}]->()"
                patterns[name, which, number, "tails"] = f"()-[n:{quote(name)}]->(:{label})"
    counts = count_all(connection, patterns)
    totals: dict[tuple[str, str], tuple[int, int]] = {}
    for (name, which, _, end), n in counts.items():
        heads, tails = totals.get((name, which), (0, 0))
        totals[name, which] = (heads + n, tails) if end == "heads" else (heads, tails + n)
    return totals
