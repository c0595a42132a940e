"""Which graph a run belongs to, and which run of a graph is the newest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kgplug.data.artefact import write_artefact
from kgplug.data.graph_identity import GraphIdentity
from kgplug.errors import UsageError
from kgplug.graph.schema import FeedbackSchema, GraphSchema, ItemSchema
from kgplug.training.runs import Runs

FILMS, BOOKS = GraphSchema(), GraphSchema(item=ItemSchema(label="Book"), feedback=FeedbackSchema(type="READ"))
HERE = GraphIdentity.of_schema(FILMS.model_dump(), store="AAAA1111BBBB", database="neo4j", address="localhost:7687")
MOVED = replace(HERE, address="10.0.0.1:7687", database="films")
OTHER_STORE = replace(HERE, store="CCCC")
OTHER_SCHEMA = GraphIdentity.of_schema(BOOKS.model_dump(), store=HERE.store)


def save(
    runs: Runs, name: str, graph: GraphIdentity | None, schema: GraphSchema | None = FILMS, model: str = "MF"
) -> None:
    content = {"model": model, "kind": "recommender", "metrics": {}, "history": {}, "created": f"2026-11-2{name[-1]}"}
    content |= {} if graph is None else {"graph": graph.to_dict()}
    content |= {} if schema is None else {"schema": schema.model_dump()}
    write_artefact(runs.path(name), {"a": np.zeros(1)}, content)


def test_a_graph_is_identified_by_store_and_schema_wherever_its_server_is() -> None:
    assert HERE.same_graph(MOVED) and MOVED.same_graph(HERE)
    assert not HERE.same_graph(OTHER_STORE) and not HERE.same_store(OTHER_STORE)
    assert not HERE.same_graph(OTHER_SCHEMA) and HERE.same_store(OTHER_SCHEMA)


@pytest.mark.parametrize("like", [None, 3.0])
def test_another_like_threshold_or_title_is_the_same_graph(like: float | None) -> None:
    changed = GraphSchema(item=ItemSchema(title="name"), feedback=FeedbackSchema(rating="stars", like_threshold=like))
    assert HERE.same_graph(GraphIdentity.of_schema(changed.model_dump(), store=HERE.store))


def test_a_run_of_an_earlier_version_belongs_to_every_graph_that_its_schema_fits() -> None:
    films, books = ({"schema": schema.model_dump()} for schema in (FILMS, BOOKS))
    assert HERE.same_graph(GraphIdentity.of_run(films)) and not HERE.same_graph(GraphIdentity.of_run(books))
    assert HERE.same_graph(GraphIdentity.of_run({}))
    assert GraphIdentity.of_run({"schema": [], "graph": "x"}) == GraphIdentity()


def test_without_a_schema_runs_belong_to_a_graph_with_their_labels_and_type() -> None:
    anything = GraphIdentity(HERE.store, holds=frozenset({"User", "Movie", "RATED", "Book"}))
    assert anything.same_graph(HERE) and not anything.same_graph(OTHER_SCHEMA)


def test_an_identity_survives_a_round_trip() -> None:
    content = {"graph": HERE.to_dict(), "schema": FILMS.model_dump()}
    assert GraphIdentity.of_run(content) == HERE
    assert str(HERE) == "(:User)-[:RATED]-(:Movie) in database neo4j at localhost:7687 (store AAAA1111)"


def test_a_models_name_means_its_newest_run_of_this_graph(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    save(runs, "mf-1", HERE)
    save(runs, "mf-2", OTHER_STORE)
    save(runs, "mf-3", OTHER_SCHEMA, BOOKS)
    assert runs.resolve("MF").name == "mf-3"
    assert runs.resolve("MF", HERE).name == "mf-1"
    assert runs.resolve("mf-2", HERE).name == "mf-2"  # named on purpose
    found, others = runs.of(HERE)
    assert ([info.id for info in found], others) == (["mf-1"], 2)
    with pytest.raises(
        UsageError, match=r"No run of MF on this graph, .*store DDDD.*; 3 on other graphs, the newest mf-3"
    ):
        runs.resolve("MF", replace(HERE, store="DDDD", user="Person.id"))


def test_the_graph_at_an_address_is_the_one_last_trained_on_there(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    save(runs, "mf-1", HERE)
    save(runs, "mf-2", OTHER_STORE)
    save(runs, "mf-3", replace(MOVED, store="DDDD"))
    save(runs, "mf-4", None)
    known = runs.last_known("localhost:7687", "")
    assert known is not None and known.store == "CCCC"
    assert runs.last_known("localhost:7687", "other") is None and runs.last_known("", "") is None
