"""What `check` says about a server's version; a fake connection answers."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from kgplug.errors import GraphError
from kgplug.graph.provided import provided


def findings(
    *, cypher_25: bool, search: bool, procedure: bool = True, store: str | None = "record-aligned-1.1"
) -> dict:
    """Return what → (level, finding)."""

    def system_rows(query: str, name: str) -> list[dict]:
        if store == "refused":
            raise GraphError("This account may not do that.")
        return [{"store": store}]

    connection = SimpleNamespace(
        has_cypher_25=cypher_25,
        has_search=search,
        database="neo4j",
        rows=lambda query, name: [{"name": name}] if procedure else [],
        system_rows=system_rows,
    )
    return {what: (level, text) for what, level, text in provided(connection)}


def test_an_old_server_lacks_cypher_25_search_and_the_type_vector() -> None:
    found = findings(cypher_25=False, search=False)
    assert found["cypher"] == ("ok", "Cypher 5, no Cypher 25")
    assert found["vector index"][1].startswith("queried with db.index.vector.queryNodes; the clause SEARCH needs")
    assert found["vector type"] == ("ok", "no type VECTOR before Neo4j 2025.06: vectors are stored as lists of numbers")


def test_a_server_without_procedure_and_search_is_warned_of() -> None:
    level, text = findings(cypher_25=False, search=False, procedure=False)["vector index"]
    assert level == "warning" and "is missing: similar items cannot be queried" in text
    assert findings(cypher_25=True, search=True, procedure=False)["vector index"] == (
        "ok",
        "queried with the clause SEARCH",
    )


@pytest.mark.parametrize(
    ("store", "says"),
    [
        ("record-aligned-1.1", "store format record-aligned-1.1 cannot hold the type VECTOR"),
        ("block-block-1.1", "store format block-block-1.1 has it; kgplug does not use it"),
        (None, "the store format is unknown: "),
        ("refused", "unknown (This account may not do that.)"),
    ],
)
def test_the_store_format_decides_on_the_type_vector(store: str | None, says: str) -> None:
    level, text = findings(cypher_25=True, search=True, store=store)["vector type"]
    assert level == "ok" and text.startswith(says)
