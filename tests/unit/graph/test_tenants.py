"""Messages and patterns never show or use nodes of other tenants."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from kgplug.errors import DataError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.members import condition_on
from kgplug.graph.reading.node_keys import checked_keys
from kgplug.graph.schema import GraphSchema, UserSchema

NORTH = GraphSchema(user=UserSchema(where="user.tenant = 'north'"))


class _Asked:
    """A connection that keeps its queries and returns no rows."""

    def __init__(self) -> None:
        self.queries: list[str] = []

    def rows(self, query: str, /, **parameters: object) -> list[dict[str, Any]]:
        self.queries.append(query)
        return []


@pytest.mark.parametrize("keys", [[1, []], [[], []]], ids=["some", "all"])
def test_examples_of_nodes_without_a_key_are_of_the_own_tenant(keys: list[Any]) -> None:
    asked, values = _Asked(), np.empty(len(keys), dtype=object)
    values[:] = keys
    where = condition_on(NORTH.user, "n")
    with pytest.raises(DataError):
        checked_keys(cast("Connection", asked), "User", "id", values, setting="[user] key", where=where)
    (query,) = asked.queries
    assert where in query.split("RETURN")[0] and "n.tenant = 'north'" in query
    with pytest.raises(DataError):
        checked_keys(cast("Connection", asked), "User", "id", values, setting="[user] key")
    assert "WHERE  " not in asked.queries[1] and "AND" not in asked.queries[1]
