"""Times of a real graph keep their precision, and the unit of one never follows from another."""

from __future__ import annotations

import numpy as np
import pytest

from kgplug.errors import DataError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.reading.bulk import BulkReader
from kgplug.graph.reading.reader import pull_interactions, read_interactions
from kgplug.graph.reading.times import FoundTimes, find_times
from kgplug.graph.schema import FeedbackSchema, GraphSchema
from tests.integration.helpers.sample_graphs import build

SCHEMA = GraphSchema(feedback=FeedbackSchema(timestamp="at"))
READERS = {"by internal ids": {}, "by element ids": {"internal_ids": False}}


def _found(connection: Connection, schema: GraphSchema) -> FoundTimes:
    (kind,) = schema.feedback
    return find_times(connection, "(:User)-[r:RATED]->(:Movie)", "r.at", name="at", unit=kind.time_unit)


def _graph(connection: Connection, *values: str) -> None:
    """Build one user with a relationship to film 0, 1, … at each time, Cypher expressions."""
    parts = [f"(u)-[:RATED {{at: {value}}}]->(:Movie {{id: {number}}})" for number, value in enumerate(values)]
    build(connection, f"CREATE (u:User {{id: 1}}), {', '.join(parts)}")


@pytest.mark.parametrize("how", READERS)
@pytest.mark.parametrize(
    ("value", "time", "unit"),
    [
        ("datetime('2024-05-01T12:00:00+02:00')", 1714557600, "s"),
        ("datetime('2024-05-01T12:00:00.25[Europe/Berlin]')", 1714557600_250, "ms"),
        ("localdatetime('2024-05-01T10:00:00.000001')", 1714557600_000001, "us"),
        ("localdatetime('1969-12-31T23:59:59.999999999')", -1, "ns"),
        ("localdatetime('1969-12-31T23:59:58.5')", -1500, "ms"),
        ("datetime('1960-01-01T00:00:00.000000001Z')", -315619199_999999999, "ns"),
        ("datetime('9999-12-31T00:00:00Z')", 253402214400, "s"),
        ("datetime({year: 200000})", 6249223180800, "s"),
        ("datetime('-9999-01-01T00:00:00Z')", -377705116800, "s"),
        ("date('2024-05-01')", 1714521600, "s"),
        ("1714557600", 1714557600, "s"),
        ("1714557600123", 1714557600_123, "ms"),
        ("1714557600123456", 1714557600_123456, "us"),
        ("1714557600123456789", 1714557600_123456789, "ns"),
        ("'1714557600123456789'", 1714557600_123456789, "ns"),
        ("'1714557600'", 1714557600, "s"),
        ("1714557600.04", 1714557600_040, "ms"),
        ("-1.5", -1500, "ms"),
        ("0", 0, "s"),
    ],
)
def test_a_time_is_read_exactly_in_the_coarsest_unit_that_holds_it(
    connection: Connection, value: str, time: int, unit: str, how: str
) -> None:
    _graph(connection, value)
    found, _ = pull_interactions(connection, SCHEMA, bulk=BulkReader(connection, **READERS[how]))
    assert found.timestamps is not None and found.timestamps.dtype == np.int64
    assert (found.timestamps.tolist(), found.time_unit) == ([time], unit)


def test_temporal_values_keep_their_unit(connection: Connection) -> None:
    near = [f"datetime({{epochSeconds: {1_600_000_000 + i}, nanosecond: {i * 40_000_000}}})" for i in range(6)]
    _graph(connection, "datetime('9999-12-31T00:00:00Z')", *near, "date('0001-01-01')")
    found = read_interactions(connection, SCHEMA)
    assert found.timestamps is not None and found.time_unit == "ms"
    assert found.timestamps[1:7].tolist() == [1_600_000_000_000 + i * 1040 for i in range(6)]
    assert np.argsort(found.timestamps).tolist() == [7, 1, 2, 3, 4, 5, 6, 0]


def test_nanoseconds_and_far_years_keep_their_order(connection: Connection) -> None:
    _graph(
        connection, "datetime('9999-12-31T00:00:00Z')", "datetime('2024-01-01T00:00:00.000000002Z')",
        "datetime('2024-01-01T00:00:00.000000001Z')", "date('5000-01-01')", "date('1000-01-01')", "date('0999-01-01')",
    )  # fmt: skip
    found = read_interactions(connection, SCHEMA)
    assert found.timestamps is not None and found.time_unit == "ns"
    assert np.argsort(found.timestamps).tolist() == [5, 4, 2, 1, 3, 0]
    assert found.timestamps[1] - found.timestamps[2] == 1


@pytest.mark.parametrize(
    "values",
    [
        ("1714557600", "1714557600123"),
        ("1714557600123", "253402214400000"),
        ("-1", "1714557600123"),
        ("'1714557600'", "1714557600123456789"),
        ("date('2024-05-01')", "1714557600", "1714557600123456"),
    ],
)
def test_numbers_of_several_units_are_refused_by_the_reader_and_check(
    connection: Connection, values: tuple[str, ...]
) -> None:
    _graph(connection, *values)
    with pytest.raises(DataError, match=r'"at": expected numbers in one unit of time, found .* time_unit') as refused:
        read_interactions(connection, SCHEMA)
    found = _found(connection, SCHEMA)
    assert found.problem == str(refused.value)


def test_the_schema_can_set_the_unit_of_numbers_that_look_like_several(connection: Connection) -> None:
    _graph(connection, "5", "253402214400000", "0")
    schema = GraphSchema(feedback=FeedbackSchema(timestamp="at", time_unit="ms"))
    found = read_interactions(connection, schema)
    assert found.timestamps is not None
    assert (found.timestamps.tolist(), found.time_unit) == ([5, 253402214400000, 0], "ms")
    assert str(_found(connection, schema)) == (
        "3 numbers of milliseconds, from 1970-01-01T00:00:00.000 to 9999-12-31T00:00:00.000"
    )


def test_a_missing_time_written_as_zero_has_the_unit_of_the_others(connection: Connection) -> None:
    _graph(connection, "0", "1714557600123")
    assert read_interactions(connection, SCHEMA).time_unit == "ms"


def test_the_unit_and_the_range_of_times_are_reported(connection: Connection) -> None:
    _graph(connection, "date('2024-05-01')", "datetime('9999-12-31T00:00:00Z')", "1714557600123")
    assert str(_found(connection, SCHEMA)) == (
        "2 dates and 1 numbers of milliseconds, from 2024-05-01T00:00:00.000 to 9999-12-31T00:00:00.000"
    )


@pytest.mark.parametrize("value", ["true", "duration({days: 1})", "time('10:00')", "[1]", "'soon'", "1.0 / 0.0"])
def test_what_is_not_a_time_is_refused(connection: Connection, value: str) -> None:
    _graph(connection, "1714557600", value)
    with pytest.raises(DataError, match=r"1 of 2 :RATED relationships has no usable 'at'"):
        read_interactions(connection, SCHEMA)
