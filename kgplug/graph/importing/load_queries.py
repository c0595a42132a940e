"""The Cypher query that loads one CSV file: a shipped LOAD CSV query with this file's labels, type and columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kgplug.data.sources.csv_check import CheckedTable
from kgplug.data.sources.csv_folder import NODES, SEPARATOR, Column, Table
from kgplug.graph.queries import load, quote

_ZONED = "datetime(replace({}, ' ', 'T'))"
_LOCAL = "localdatetime(replace({}, ' ', 'T'))"
_XY = "srid: toInteger(split({}, ' ')[0]), x: toFloat(split({}, ' ')[1]), y: toFloat(split({}, ' ')[2])"
_POINT = (
    f"CASE size(split({{}}, ' ')) WHEN 3 THEN point({{{_XY}}}) "
    f"WHEN 4 THEN point({{{_XY}, z: toFloat(split({{}}, ' ')[3])}}) END"
)
_CONVERSIONS = {  # column type → Cypher that converts a cell; {} is the cell's text from `csv_values.as_sent`
    "string": "{}",
    "int": "toInteger({})",
    "float": "toFloat({})",
    "boolean": "coalesce(toBooleanOrNull({}), toFloatOrNull({}) = 1)",
    "date": "date({})",
    "datetime": _ZONED,
    "localdatetime": _LOCAL,
    "point": _POINT,
}


@dataclass(frozen=True)
class LoadQuery:
    """The queries that load one file.

    Attributes:
        from_file: query with LOAD CSV; its parameters are $file, a file:/// address, and those in `parameters`.
        from_rows: the same query without LOAD CSV. It takes the rows from the parameter $rows, a list of
            {header: cell or null}.
        parameters: name → value of the parameters that both queries need.
    """

    from_file: str
    from_rows: str
    parameters: dict[str, object]


def load_query(checked: CheckedTable, key_of: Mapping[str, str]) -> LoadQuery:
    """Return the queries that load a file.

    Args:
        checked: the file.
        key_of: label → key property, for each label in the folder.

    Raises:
        UsageError: a label, type or property name cannot be written in Cypher.
    """
    parts = _node_parts(checked) if checked.table.kind == NODES else _relationship_parts(checked.table, key_of)
    text = _replaced(load("load_nodes" if checked.table.kind == NODES else "load_relationships"), parts)
    parameters: dict[str, object] = {"labels": list(checked.more_labels)} if checked.more_labels else {}
    return LoadQuery(text, _from_rows(text), parameters)


def _node_parts(checked: CheckedTable) -> dict[str, str]:
    """Return what `_replaced` must change in load_nodes.cypher: {old text: new text}, in the query's order."""
    key = checked.table.keys[0]
    return {
        "toInteger(row.`id:int`)": _value(key),
        "// properties": _lines(_property_lines(checked.table)),
        "(node:`Movie` {`id`: key})": f"(node:{quote(checked.table.labels[0])} {{{quote(key.name)}: key}})",
        **({} if checked.table.properties else {"// set": ""}),
        "// labels": _lines(_label_lines(checked)),
    }


def _relationship_parts(table: Table, key_of: Mapping[str, str]) -> dict[str, str]:
    """Return what `_replaced` must change in load_relationships.cypher: {old text: new text}, in the query's order."""
    head, tail = table.labels
    return {
        "toInteger(row.`user:int`)": _value(table.keys[0]),
        "toInteger(row.`movie:int`)": _value(table.keys[1]),
        "// properties": _lines(_property_lines(table)),
        "(head:`User` {`id`: head_key})": f"(head:{quote(head)} {{{quote(key_of[head])}: head_key}})",
        "(tail:`Movie` {`id`: tail_key})": f"(tail:{quote(tail)} {{{quote(key_of[tail])}: tail_key}})",
        "[link:`RATED`]": f"[link:{quote(table.type)}]",
        **({} if table.properties else {"// set": ""}),
    }


def _replaced(text: str, parts: Mapping[str, str]) -> str:
    """Replace parts of a shipped query, given as {old text: new text} in the order of the query.

    An old text that is a comment, such as "// labels", stands for all lines from this comment to "// end of labels".
    New texts are not searched for old texts, so nothing is replaced twice.
    """
    done = []
    for part, new in parts.items():
        if part.startswith("// "):
            before, rest = text.split(f"{part}\n", 1)
            before, text = before.rstrip(" "), rest.split(f"// end of {part[3:]}\n", 1)[1]
        else:
            before, text = text.split(part, 1)
        done += [before, new]
    return "".join([*done, text])


def _lines(lines: list[str]) -> str:
    return "".join(f"    {line}\n" for line in lines)


def _from_rows(text: str) -> str:
    """Turn a LOAD CSV query into one that reads the parameter $rows and does not start transactions itself."""
    text = text.replace("LOAD CSV WITH HEADERS FROM $file AS row\nCALL (row) {\n", "UNWIND $rows AS row\n", 1)
    return text[: text.rindex("} IN TRANSACTIONS")]


def _property_lines(table: Table) -> list[str]:
    lines = [f"{quote(column.name)}: {_value(column)}" for column in table.properties]
    return [line + "," for line in lines[:-1]] + lines[-1:]


def _label_lines(checked: CheckedTable) -> list[str]:
    return [
        f"FOREACH (label IN [label IN split(row.`:LABEL`, '{SEPARATOR}') WHERE label = $labels[{number}]] | "
        f"SET node:{quote(label)})"
        for number, label in enumerate(checked.more_labels)
    ]


def _value(column: Column) -> str:
    """Return the Cypher expression that converts a cell of a column; it gives null for an empty cell."""
    cell = f"row.{quote(column.header)}"
    conversion = _CONVERSIONS[column.type]
    if not column.is_list:
        return conversion.replace("{}", cell)
    parts = f"split({cell}, '{SEPARATOR}')"
    if column.type == "string":
        return parts
    return f"[part IN {parts} | {conversion.replace('{}', 'part')}]"
