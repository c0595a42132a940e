"""What a user likes, where old ratings count less, is what a training says."""

from __future__ import annotations

from typing import Any, cast

import pandas as pd
import pytest

from kgplug.data.interactions import Interactions
from kgplug.graph.answering import lookups
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.schema import FeedbackSchema, GraphSchema

DAY_MS = 86_400_000
START_MS = 1_700_000_000_001  # not a whole second, so that milliseconds stay milliseconds


@pytest.mark.parametrize(("unit", "per_ms"), [("ms", 1), (None, 1), ("s", 1 / 1000), (None, 1 / 1000)])
@pytest.mark.parametrize("weight", [None, "rated.n"])
def test_likes_decay_as_in_a_training(
    unit: Any, per_ms: float, weight: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Film 1: an old 5 and a new 2. Film 2: the same ratings, but the old one has a large weight.

    Film 4: a 5 and, a day later, a 3.
    """
    rows = [(1, 5.0, 1.0, 0), (1, 2.0, 1.0, 10), (2, 5.0, 100.0, 0), (2, 2.0, 1.0, 3), (3, 1.0, 1.0, 0)]
    rows += [(4, 5.0, 1.0, 0), (4, 3.0, 1.0, 1)]
    table = pd.DataFrame(rows, columns=["item", "rating", "weight", "day"]).assign(user=7)
    table["timestamp"] = ((table["day"] * DAY_MS + START_MS) * per_ms).astype("int64")
    kind = FeedbackSchema(
        rating="rating", weight=weight, timestamp="at", time_unit=unit, repeated="decay", half_life=2.0,
        like_threshold=3.5,
    )  # fmt: skip
    trained = Interactions.from_dataframe(
        table, user="user", item="item", repeated="decay", half_life=2.0, like_threshold=3.5, timestamp="timestamp",
        rating="rating", weight="weight" if weight else None, time_unit=unit,
    )  # fmt: skip
    none = float("nan")
    read = [
        {"key": key, "rating": rating, "weight": amount if weight else none, "first": float(time), "second": -1}
        for (key, rating, amount, _), time in zip(rows, table["timestamp"].tolist(), strict=True)
    ]
    monkeypatch.setattr(lookups, "schema_rows", lambda *_, **__: read)
    monkeypatch.setattr(lookups, "not_own", lambda *_: "true")
    seen, likes = lookups.feedback_of(cast("Connection", None), GraphSchema(feedback=kind), 7)
    expected = trained.item_keys[trained.items[trained.is_like]].tolist()
    assert seen == [1, 2, 3, 4] and likes == expected == ([2, 4] if weight else [4])


def test_a_row_without_a_time_counts_as_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = FeedbackSchema(rating="rating", timestamp="at", like_threshold=3.0)
    none = float("nan")
    read = [
        {"key": 1, "rating": 5.0, "weight": none, "first": 10.0, "second": -1},
        {"key": 1, "rating": 1.0, "weight": none, "first": none, "second": -1},
        {"key": 2, "rating": 4.0, "weight": none, "first": none, "second": -1},
    ]
    monkeypatch.setattr(lookups, "schema_rows", lambda *_, **__: read)
    monkeypatch.setattr(lookups, "not_own", lambda *_: "true")
    assert lookups.feedback_of(cast("Connection", None), GraphSchema(feedback=kind), 7) == ([1, 2], [1, 2])
