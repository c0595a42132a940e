"""What the publisher decides without a server."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kgplug.data.publication import NodeVectors, Publication, TopLists
from kgplug.errors import DataError, GraphError, UsageError
from kgplug.graph.catalog import planned_record, property_name
from kgplug.graph.publishing.check import check_publication
from kgplug.graph.publishing.publisher import publish
from kgplug.graph.publishing.report import PublishReport
from kgplug.graph.publishing.writing import vectors as vector_writing
from kgplug.graph.publishing.writing.batches import run_batches
from kgplug.graph.publishing.writing.nodes import NodeLookup
from kgplug.graph.publishing.writing.vectors import usable_rows, vector_texts, wait_for_indexes
from kgplug.graph.schema import GraphSchema


def keys(*values: object) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def a_publication() -> Publication:
    vectors = NodeVectors("Movie", keys(1, 2), np.ones((2, 3), dtype=np.float32))
    lists = TopLists("User", "Movie", keys("a"), keys(1, 2), np.array([[1, 0]]), np.array([[0.9, 0.1]], np.float32))
    return Publication("MKR", "mkr-1", [vectors], lists)


def with_lists(**changes: object) -> Publication:
    wanted = a_publication()
    assert wanted.lists is not None
    return replace(wanted, lists=replace(wanted.lists, **changes))


def test_a_sound_publication_passes():
    check_publication(a_publication())


@pytest.mark.parametrize(
    ("run", "model"), [("", "MKR"), ("../x", "MKR"), ("a b", "MKR"), ("x" * 101, "MKR"), ("mkr-1", " ")]
)
def test_invalid_names_are_refused(run, model):
    with pytest.raises(UsageError):
        check_publication(replace(a_publication(), run=run, model=model))


@pytest.mark.parametrize(
    ("shape", "message"),
    [((3, 3), "of 2 rows"), ((2,), "of 2 rows"), ((2, 0), "1 to 4096 dimensions, found 0"), ((2, 4097), "found 4097")],
)
def test_vectors_of_a_wrong_shape_are_refused(shape, message):
    nodes = NodeVectors("Movie", keys(1, 2), np.ones(shape, dtype=np.float32))
    with pytest.raises(DataError, match=message):
        check_publication(replace(a_publication(), vectors=[nodes]))


def test_a_repeated_key_or_label_is_refused():
    nodes = NodeVectors("Movie", keys(1, 1), np.ones((2, 3), dtype=np.float32))
    with pytest.raises(DataError, match="every key once, found 1 repeated"):
        check_publication(replace(a_publication(), vectors=[nodes]))
    with pytest.raises(DataError, match="two sets of vectors for :Movie"):
        check_publication(replace(a_publication(), vectors=a_publication().vectors * 2))
    with pytest.raises(DataError, match="Item keys of the lists"):
        check_publication(with_lists(item_keys=keys(2, 2)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"items": np.array([[2, 0]])}, "outside the 2 items"),
        ({"items": np.array([[-2, 0]])}, "outside the 2 items"),
        ({"items": np.array([[0, 1], [0, 1]])}, "each of 1 users"),
        ({"scores": np.array([[0.5]], dtype=np.float32)}, "each of 1 users"),
        ({"scores": np.array([[np.nan, 0.5]], dtype=np.float32)}, "finite scores"),
    ],
)
def test_lists_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(DataError, match=message):
        check_publication(with_lists(**changes))


def test_the_score_of_a_gap_may_be_infinite():
    check_publication(with_lists(items=np.array([[1, -1]]), scores=np.array([[0.5, -np.inf]], dtype=np.float32)))


@given(arrays(np.float32, (3, 4), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_a_vector_sent_as_text_comes_back_bit_for_bit(vectors):
    back = [np.array([float(number) for number in text.split(" ")], dtype=np.float32) for text in vector_texts(vectors)]
    assert np.array_equal(np.stack(back), vectors)


def test_only_vectors_that_have_a_direction_are_usable():
    vectors = np.array([[1, 2], [0, 0], [np.nan, 1], [np.inf, 1], [1e30, 1], [1e-30, 0]], dtype=np.float32)
    assert usable_rows(vectors).tolist() == [True, False, False, False, False, False]


@pytest.mark.parametrize(
    ("model", "run", "expected"),
    [
        ("MKR", "mkr-20260101-120000-ab12", "kgplug_mkr_20260101_120000_ab12"),
        ("MKR", "second", "kgplug_mkr_second"),
        ("Item KNN", "item-knn-1", "kgplug_item_knn_1"),
    ],
)
def test_the_property_of_a_run_is_a_plain_identifier_with_both_names(model, run, expected):
    assert property_name(model, run) == expected


def test_indexes_of_labels_with_similar_names_get_different_names():
    nodes = [NodeVectors(label, keys(1), np.ones((1, 3), dtype=np.float32)) for label in ("A b", "A-b", "c")]
    nodes[2] = replace(nodes[2], indexed=False)
    record = planned_record(Publication("MKR", "mkr-1", nodes), vectors_digest="", lists_digest="")
    assert record.indexes == ["kgplug_mkr_1_A_b", "kgplug_mkr_1_A_b_1", ""]
    assert record.dimensions == [3, 3, 3]


def test_names_in_a_lookup_are_quoted():
    lookup = NodeLookup("A`) DETACH DELETE n //", "k`", indexed=True, handles={})
    assert lookup.match("n", "$x") == "MATCH (n:`A``) DETACH DELETE n //` {`k```: $x})"
    assert replace(lookup, indexed=False).match("n", "$x").endswith("= $x[0] AND n.`k``` = $x[1]")


def test_batches_cover_all_rows_once_and_in_order():
    assert run_batches(lambda rows: (rows.start, rows.stop), 7, 3, description="", unit="", progress=False) == [
        (0, 3),
        (3, 6),
        (6, 7),
    ]


def test_the_first_batch_that_fails_stops_those_that_have_not_begun():
    begun = []

    def work(rows: slice) -> None:
        begun.append(rows.start)
        raise DataError("no")

    with pytest.raises(DataError):
        run_batches(work, 100, 1, description="", unit="", progress=False)
    assert len(begun) < 100


class Populating:
    """A server whose index never gets ready."""

    def __init__(self, state: str = "POPULATING") -> None:
        self.state = state

    def rows(self, query: str, /, **parameters: object) -> list[dict]:
        return [{"name": name, "state": self.state, "percent": 40.0} for name in parameters["names"]]  # type: ignore[attr-defined]


def test_an_index_that_makes_no_progress_is_not_waited_for_beyond_the_time_out(monkeypatch):
    monkeypatch.setattr(vector_writing, "_POLL_S", 0.01)
    with pytest.raises(GraphError, match=r"a_index has stayed at 40 % for 0\.05 s"):
        wait_for_indexes(Populating(), ["a_index"], timeout_s=0.05, progress=False)  # type: ignore[arg-type]


def test_an_index_that_failed_is_named():
    with pytest.raises(GraphError, match="a_index could not be built"):
        wait_for_indexes(Populating("FAILED"), ["a_index"], timeout_s=1, progress=False)  # type: ignore[arg-type]


class ReadOnly:
    """A server that answers, tells nothing of privileges, and refuses every change."""

    server_version, database, uri = "5.26.0", "neo4j", "bolt://x"

    def __init__(self) -> None:
        self.changes = 0

    def rows(self, query: str, /, **parameters: object) -> list[dict]:
        if "elementId(node) AS id" in query:  # no index on the key: all nodes of a label
            return [{"id": f"4:x:{key}", "key": key} for key in ("a", 1, 2)]
        return []

    def write(self, query: str, /, **parameters: object) -> dict:
        self.changes += 1
        raise GraphError("Schema operations are not allowed for user 'reader'.")

    autocommit = write

    def system_rows(self, query: str, /, **parameters: object) -> list[dict]:
        raise GraphError("This account may not do that.")


def test_an_account_without_write_access_fails_at_the_first_write():
    server = ReadOnly()
    with pytest.raises(GraphError, match="not allowed for user"):
        publish(server, GraphSchema(), a_publication(), progress=False)  # type: ignore[arg-type]
    assert server.changes == 1


def test_a_report_names_what_was_written_and_what_was_skipped():
    report = PublishReport("MKR", "mkr-2", vectors=90, lists=60, edges=300, previous="mkr-1")
    report.seconds = {"vectors": 0.5, "lists": 2.0}
    report.missing, report.missing_keys = 1, ["User 5"]
    assert (report.vectors_per_s, report.edges_per_s) == (180, 150)
    assert report.to_dict()["edges_per_s"] == 150
    assert str(report).splitlines() == [
        "MKR is served by run mkr-2 (2.5 s).",
        "Vectors: 90 written; vector indexes: none.",
        "Lists: 60 users written (300 edges).",
        "Skipped 1 node that is not in the graph: User 5.",
        "Run mkr-1 served before and is kept: `kgplug rollback MKR` returns to it.",
    ]
