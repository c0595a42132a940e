"""What a notebook shows for kgplug's objects: what they are, never an address or a password."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import SecretStr

import kgplug
from kgplug.data.ranking.list_difference import compare_lists
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.check import CheckReport, Finding
from kgplug.graph.graph import Graph
from kgplug.graph.importing.importer import FileReport, ImportReport
from kgplug.graph.publishing.removing.rollback import RollbackReport
from kgplug.graph.schema import DEMO_SCHEMA
from kgplug.graph.server.home import Endpoint
from kgplug.graph.server.local import LocalNeo4j
from kgplug.jobs import Split
from kgplug.settings import Settings
from kgplug.training.runs import Runs
from kgplug.tuning import Tuning

FRAME = pd.DataFrame([(u, i) for u in range(20) for i in range(10) if (u + i) % 3], columns=["u", "i"])


@pytest.fixture
def connection() -> Connection:
    opened = Connection(None, uri="bolt://db:7687", database="films", import_dir=None)  # type: ignore[arg-type]
    opened.server_version, opened.edition = "5.26.30", "community"
    return opened


def test_the_repr_of_a_connection_and_a_graph_shows_the_server(connection: Connection) -> None:
    assert repr(connection) == "Connection to bolt://db:7687, database 'films', Neo4j 5.26.30 community"
    graph = Graph(connection)
    assert repr(graph).startswith("Graph in database 'films' at bolt://db:7687, no schema chosen")
    graph.use(DEMO_SCHEMA)
    assert repr(graph).endswith("read as (:User)-[:RATED]->(:Movie)")


@pytest.mark.training
def test_the_repr_of_a_model_shows_what_it_was_trained_on(tmp_path: Path) -> None:
    interactions = kgplug.Interactions.from_dataframe(FRAME, user="u", item="i")
    model = kgplug.create("MF", embedding_dim=8, epochs=1)
    assert repr(model) == "MF(embedding_dim=8, epochs=1), not trained"
    model.fit(interactions, progress=False)  # type: ignore[arg-type]
    trained = f"trained on {len(FRAME)} rows of 20 users and 10 items, run {model.run}"
    assert repr(model).startswith("MF(embedding_dim=8, ") and repr(model).endswith(trained)
    model.save(tmp_path / model.run)
    assert repr(kgplug.load(tmp_path / model.run)).endswith(trained)


@pytest.mark.training
def test_the_repr_of_an_embedding_shows_what_it_was_trained_on() -> None:
    untrained = repr(kgplug.create("TransE", embedding_dim=8))
    assert untrained.startswith("TransE(embedding_dim=8") and untrained.endswith(", not trained")
    triples = pd.DataFrame({"head": ["a", "b"], "relation": "r", "tail": ["b", "c"]})
    model = kgplug.create("TransE", embedding_dim=8, epochs=1)
    model.fit(kgplug.KnowledgeGraph.from_dataframe(triples), progress=False)  # type: ignore[arg-type]
    assert f"trained on 3 entities and 1 relation, run {model.run}" in repr(model)


def test_a_check_names_its_problems() -> None:
    findings = [
        Finding("server", "ok", "5.26"),
        Finding("feedback", "error", "No :RATED."),
        Finding("x", "warning", "y"),
    ]
    report = CheckReport("bolt://db:7687", findings)
    assert repr(report).splitlines() == [
        "Check of bolt://db:7687: 1 error, 1 warning", "  error: feedback: No :RATED.", "  warning: x: y"
    ]  # fmt: skip
    assert "No :RATED." in report._repr_html_()
    assert repr(CheckReport("bolt://db:7687", findings[:1])) == "Check of bolt://db:7687: all ok"


def test_reports_are_sentences() -> None:
    model = kgplug.create("Popularity").fit(kgplug.Interactions.from_dataframe(FRAME, user="u", item="i"))  # type: ignore[arg-type]
    lists = model.publication(k=3).lists  # type: ignore[union-attr]
    difference = compare_lists(lists, lists)
    imported = ImportReport((FileReport("nodes/Movie.csv", 3, 2, 4, 2, 0.1),), (), "LOAD CSV", 1.25)
    tuning = Tuning("MKR", "AUC", {"embedding_dim": 8}, 0.91234, pd.DataFrame({"trial": [1, 2]}), None)
    assert repr(difference) == str(difference)
    assert repr(imported) == ("3 rows of 1 file imported by LOAD CSV in 1.2 s: 2 nodes and 0 relationships created")
    assert repr(tuning) == "Tuning of MKR, 2 trials: best AUC 0.9123 with {'embedding_dim': 8}"
    assert RollbackReport.__repr__ is RollbackReport.__str__


def test_nothing_shows_an_address_or_a_password(connection: Connection, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("NEO4J_PASSWORD", "s3cret-word")
    endpoint = Endpoint("bolt://127.0.0.1:1", "neo4j", SecretStr("s3cret-word"), tmp_path)
    shown = [
        repr(one)
        for one in (
            connection, Graph(connection), Settings(), endpoint, LocalNeo4j(tmp_path), Runs(tmp_path), Split(),
            kgplug.Interactions.from_dataframe(FRAME, user="u", item="i"), DEMO_SCHEMA, np.zeros(1),
        )
    ]  # fmt: skip
    assert not [text for text in shown if " object at 0x" in text or "s3cret-word" in text]
