"""Queries with several kinds of feedback, of which none has Cypher, run as those with a single kind do."""

from __future__ import annotations

from typing import Any, cast

import pandas as pd
import pytest

from kgplug.graph import feedback_match
from kgplug.graph.answering import answers
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.schema import FeedbackSchema, GraphSchema

PLAIN = (FeedbackSchema(type="VIEWED"), FeedbackSchema(type="BOUGHT"))
WITH_CYPHER = (PLAIN[0], FeedbackSchema(type="BOUGHT", where="rated.n > 1"))


class _Plain:
    """A connection that answers every query without a time limit."""

    uri = database = ""

    def rows(self, query: str, /, **parameters: object) -> list[dict[str, Any]]:
        return [{"n": 1}]

    def frame(self, query: str, /, **parameters: object) -> pd.DataFrame:
        return pd.DataFrame({"n": [1]})


@pytest.mark.parametrize(("kinds", "table"), [(PLAIN, None), (WITH_CYPHER, "[feedback]")], ids=["plain", "with Cypher"])
def test_only_cypher_of_users_has_a_time_limit(
    kinds: tuple[FeedbackSchema, ...], table: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited: list[str] = []

    def user_rows(connection: Connection, table: str, query: str, /, **parameters: object) -> list[dict[str, Any]]:
        limited.append(table)
        return [{"n": 1}]

    def user_frame(connection: Connection, table: str, query: str, /, **parameters: object) -> pd.DataFrame:
        limited.append(table)
        return pd.DataFrame({"n": [1]})

    monkeypatch.setattr(feedback_match, "user_rows", user_rows)
    monkeypatch.setattr(answers, "user_frame", user_frame)
    monkeypatch.setattr(answers, "with_search", lambda connection, text, model: text)
    connection, schema = cast("Connection", _Plain()), GraphSchema(feedback=kinds)
    assert feedback_match.schema_rows(connection, schema, "RETURN 1 AS n") == [{"n": 1}]
    answers.run_query(connection, schema, "recommend", {"user": 1, "model": "m", "k": 3})
    assert limited == ([] if table is None else [table] * 2)
