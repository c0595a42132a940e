"""Look up similar nodes with the clause SEARCH of Cypher 25, on servers that have it.

SEARCH does the same as the procedure db.index.vector.queryNodes, which Cypher 25 deprecates. But the name of the index
must be part of the query's text. The shipped query `similar` reads this name from the catalogue, so that it never mixes
two runs. With SEARCH, it has one branch per index of the model, and follows the branch whose index the catalogue names.
An index can filter by properties only, but kgplug filters by label, so both versions ask for more nodes than needed.
"""

from __future__ import annotations

import re
from typing import Any

from kgplug.errors import GraphError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.queries import quote, quote_text

_NEAREST = re.compile(r"// nearest\n.*?// end of nearest\n", re.DOTALL)
_INDEXES = """
MATCH (run:KgplugRun {model: $model}) WHERE run.status <> 'dropping'
UNWIND run.indexes AS name
WITH DISTINCT name WHERE name <> ''
RETURN name ORDER BY name
"""


def with_search(connection: Connection, text: str, model: Any) -> str:
    """Return the shipped query `similar` with SEARCH; or as it is, if the server has no SEARCH or no index.

    Args:
        connection: connection to the database.
        text: the query.
        model: name of a published model.
    """
    if not connection.has_search or not _NEAREST.search(text):
        return text
    indexes = [row["name"] for row in connection.rows(_INDEXES, model=model)]
    if not indexes:
        return text
    branches = "  UNION ALL\n".join(
        f"  WITH * WHERE index = {quote_text(index)}\n"
        "  MATCH (similar_item)\n"
        f"    SEARCH similar_item IN (VECTOR INDEX {quote(index)} FOR item[property] LIMIT 10 * $k + 1)\n"
        "  RETURN similar_item\n"
        for index in indexes
    )
    searching = f"CALL (item, index, property) {{\n{branches}}}\n"
    return _NEAREST.sub(lambda _: searching, text).replace("CYPHER 5\n", "CYPHER 25\n")


def is_lost_index(error: GraphError) -> bool:
    """Return whether a query failed because an index that its text names does not exist, or no longer."""
    return getattr(error.__cause__, "code", None) == "Neo.ClientError.Schema.IndexNotFound"
