"""Check the conditions on users and items in kgplug.toml (`where` under [user] and [item]) before they are used."""

from __future__ import annotations

from kgplug.cypher_text import without_comments
from kgplug.cypher_variables import FROM_USER, with_variable
from kgplug.errors import DataError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.contents import Contents, listed, require_label, sample_properties
from kgplug.graph.members import is_outside, variable_of
from kgplug.graph.queries import quote
from kgplug.graph.reading.patterns import paths_of
from kgplug.graph.reading.relations import setting_of
from kgplug.graph.schema import GraphSchema, ItemSchema, UserSchema
from kgplug.graph.user_cypher import user_rows


def check_conditions(connection: Connection, schema: GraphSchema, contents: Contents) -> dict[str, int]:
    """Return "user" and "item" → number of nodes for which the schema's condition is true; {} without conditions.

    Raises:
        DataError: a condition is not valid Cypher, would change the graph, is not true or false for some node, is true
            for no node, or does not finish within `Settings.kgplug_query_s`; or a pattern is not a list of plain paths,
            so that the condition cannot be tested for the nodes in it.
    """
    refuse_hidden_paths(schema)
    parts = {variable_of(part): part for part in (schema.user, schema.item)}
    return {name: _count(connection, part, contents) for name, part in parts.items() if part.where is not None}


def refuse_hidden_paths(schema: GraphSchema) -> None:
    """Refuse patterns that are more than a list of plain paths, if nodes in them may belong to another tenant.

    Raises:
        DataError: there is such a pattern.
    """
    if not is_outside(schema, "n"):
        return
    patterns = {f"{schema.table_of(kind)} pattern": kind.pattern for kind in schema.feedback if kind.pattern}
    patterns |= {setting_of(name): relation.pattern for name, relation in schema.knowledge.patterns.items()}
    for setting, pattern in patterns.items():
        if not paths_of(without_comments(pattern)):
            raise DataError(
                f"{setting}: with a condition (where) under [user] or [item], expected one or more plain paths such as "
                f"(a)-[:R]->(b) or (a)-[:R*2]->(b), found {pattern!r}."
            )


def _count(connection: Connection, part: UserSchema | ItemSchema, contents: Contents) -> int:
    """Return for how many nodes the condition of a part is true."""
    name = variable_of(part)
    setting = f"[{name}] where"
    require_label(contents, part.label, setting=f"[{name}] label")
    match = f"MATCH (kgplug_node:{quote(part.label)})"
    text = f"{FROM_USER} {with_variable(part.where or '', name, 'kgplug_node')}"
    # Without brackets, a text such as "a) OR (b" is refused; with brackets, one such as "a AS x, b".
    user_rows(connection, setting, f"EXPLAIN {match} WITH {text} AS first, ({text}) AS second RETURN first, second")
    rows = user_rows(
        connection,
        setting,
        f"{match} WITH kgplug_node, ({text}) AS kept WITH valueType(kept) AS type, "
        f"sum(CASE WHEN kept = true THEN 1 ELSE 0 END) AS n_kept, min(kgplug_node.{quote(part.key)}) AS key "
        "RETURN type, n_kept, key ORDER BY type",
    )
    wrong = next((row for row in rows if not row["type"].startswith(("BOOLEAN", "NULL"))), None)
    if wrong is not None:
        raise DataError(
            f"{setting}: expected true or false, found a value of type {wrong['type'].removesuffix(' NOT NULL')} for "
            f"{part.label} {wrong['key']!r}.",
            advice=f"Write a condition, such as {name}.tenant = 'north'.",
        )
    n = sum(row["n_kept"] for row in rows)
    if not n:
        found = listed(sorted(sample_properties(connection, f"(n:{quote(part.label)})"))) or "none"
        raise DataError(
            f"{setting}: {part.where!r} is true for none of the {contents.labels[part.label]:,} :{part.label} nodes. "
            f"Their properties: {found}."
        )
    return n
