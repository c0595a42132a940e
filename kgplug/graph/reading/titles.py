"""The titles of items."""

from __future__ import annotations

import numpy as np

from kgplug.data.values.texts import as_texts
from kgplug.errors import DataError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.contents import listed, sample_properties
from kgplug.graph.members import item_node
from kgplug.graph.queries import quote
from kgplug.graph.reading.bulk import Nodes
from kgplug.graph.reading.node_ids import NodeRows
from kgplug.graph.schema import GraphSchema


def read_titles(connection: Connection, schema: GraphSchema, items: Nodes, rows: NodeRows) -> np.ndarray:
    """Return the titles of all items, object (n_items,) of str; "" for an item without a title.

    Args:
        connection: connection to the database, to find out why all titles are empty.
        schema: a schema that names the title property.
        items: the items as read, with their titles in `texts`.
        rows: map from internal node ids to row numbers in the result.

    Raises:
        DataError: no item has the property.
    """
    assert items.texts is not None  # the title was read
    texts = as_texts(items.texts)
    if not any(texts):
        count_titles(connection, schema, len(texts))
    titles = np.empty(len(texts), dtype=object)
    titles[rows.of(items.ids)] = texts
    return titles


def count_titles(connection: Connection, schema: GraphSchema, n_items: int) -> int:
    """Return the number of items with a non-empty title.

    Raises:
        DataError: `n_items`, the number of items, is not 0, and no item has the property.
    """
    label, title = schema.item.label, f"n.{quote(schema.item.title or schema.item.key)}"
    (row,) = connection.rows(
        f"MATCH {item_node(schema, 'n')} "
        f"RETURN count({title}) AS present, sum(CASE WHEN {title} <> '' THEN 1 ELSE 0 END) AS n"
    )
    if n_items and not row["present"]:
        found = listed(sorted(sample_properties(connection, f"(n:{quote(label)})"))) or "none"
        raise DataError(
            f"No :{label} node has the property {schema.item.title!r}. Properties found: {found}.",
            advice="Set [item] title to one of them, or remove it.",
        )
    return row["n"]
