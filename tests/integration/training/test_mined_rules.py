"""Rules on a real Neo4j: trained, evaluated and explained on the command line, and applied in plain Cypher."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kgplug import jobs
from kgplug.cli import app
from kgplug.data.publication import PathRule
from kgplug.embeddings import Rules
from kgplug.errors import UsageError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.graph import Graph
from kgplug.graph.queries import quote
from kgplug.graph.rule_query import rule_query
from kgplug.graph.server.home import Endpoint
from kgplug.training.runs import Runs
from tests.integration.helpers.sample_graphs import FILM_KEYS, FILMS, build
from tests.integration.helpers.sample_graphs import FILM_SCHEMA as SCHEMA

pytestmark = [pytest.mark.training, FILM_KEYS]

# Film n + 1 continues film n, for odd n. An actor of the first plays in both, except that film 12 lacks its actor.
SEQUELS = """
MATCH ()-[r:ACTED_IN]->() DELETE r;
MATCH (a:Actor), (m:Movie) WHERE toInteger(right(a.id, 1)) = 1 + (m.id - 1) / 2 % 4 AND m.id < 12
CREATE (a)-[:ACTED_IN]->(m);
MATCH (m:Movie), (n:Movie) WHERE m.id % 2 = 1 AND n.id = m.id + 1 CREATE (n)-[:FOLLOWS]->(m);
"""


@pytest.fixture
def graph(connection: Connection) -> Iterator[Graph]:
    build(connection, FILMS)
    build(connection, SEQUELS)
    return Graph(connection).use(SCHEMA)


@pytest.fixture
def command_line(neo4j_server: Endpoint, graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    del graph  # built before a command runs
    monkeypatch.setenv("NEO4J_URI", neo4j_server.uri)
    monkeypatch.setenv("NEO4J_USERNAME", neo4j_server.username)
    monkeypatch.setenv("NEO4J_PASSWORD", neo4j_server.password.get_secret_value())
    monkeypatch.setenv("KGPLUG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return CliRunner()


def run(command_line: CliRunner, *words: str) -> str:
    result = command_line.invoke(app, list(words))
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def test_rules_are_trained_evaluated_and_explain_what_they_predict(command_line: CliRunner, graph: Graph) -> None:
    run(command_line, "train", "Rules", "--split", "1,0,0", "--set", "min_support=3")
    rows = json.loads(run(command_line, "predict", "Rules", "--relation", "ACTED_IN", "-k", "1", "--write", "--json"))
    assert [(row["head"], row["tail"]) for row in rows] == [("a2", 12)]
    assert "ACTED_IN(X, Y) <- " in rows[0]["reason"] and " of " in rows[0]["reason"]
    written = graph.connection.rows("MATCH (a)-[r:PREDICTED]->(b) RETURN a.id AS head, b.id AS tail, r.model AS model")
    assert [tuple(row.values()) for row in written] == [("a2", 12, "Rules")]
    listed = run(command_line, "rules", "--relation", "ACTED_IN")
    assert "ACTED_IN(X, Y) <- ACTED_IN(X, Z), FOLLOWS(Y, Z)" in listed
    with pytest.raises(UsageError, match="Rules has no vectors, so it cannot be published"):
        raise command_line.invoke(app, ["publish", "Rules"]).exception  # type: ignore[misc]


def test_the_printed_query_finds_the_missing_relationship_without_kgplug(
    command_line: CliRunner, connection: Connection
) -> None:
    run(command_line, "train", "Rules", "--split", "1,0,0", "--set", "min_support=3")
    query = run(command_line, "rules", "--relation", "ACTED_IN", "--cypher")
    found = connection.rows(query, k=10)
    assert [(row["head"]["id"], row["tail"]["id"]) for row in found] == [("a2", 12)]
    assert found[0]["n_rules"] >= 1 and "FOLLOWS" in found[0]["rule"]
    with pytest.raises(UsageError, match="--cypher needs --relation"):
        raise command_line.invoke(app, ["rules", "--cypher"]).exception  # type: ignore[misc]


def test_the_query_predicts_what_the_rules_with_their_counts_say(graph: Graph) -> None:
    """The pairs that one rule predicts are its body without its support, in the graph that it was mined from."""
    model = Rules(min_support=1, min_confidence=0.0).fit(graph.read_knowledge(SCHEMA), progress=False)
    rules = [rule for relation in model.relations for rule in model.best_rules(100, relation=relation)]
    assert {len(rule.body) for rule in rules} == {2} and len(rules) == 3
    for rule in rules:
        assert len(graph.connection.rows(rule_query([rule]), k=10_000)) == rule.body_size - rule.support, rule


def test_names_with_odd_characters_are_quoted(connection: Connection) -> None:
    name = "it's a \\ `name`"
    connection.autocommit(f"CREATE (:A {{id: 1}})-[:{quote(name)}]->(:A {{id: 2}})")
    rule = PathRule("NEW", [(name, False)], 0.5, 1, 2, f"NEW(X, Y) <- {name}(Y, X)")
    rows = connection.rows(rule_query([rule]), k=5)
    assert [(row["head"]["id"], row["tail"]["id"], row["rule"]) for row in rows] == [(2, 1, rule.rule)]


def test_without_a_rule_there_is_no_query() -> None:
    with pytest.raises(UsageError, match="no rule without constants"):
        rule_query([])


def test_only_runs_of_rules_have_rules(graph: Graph, tmp_path: Path) -> None:
    data = jobs.read(graph, SCHEMA, name="TransE")
    small = {"embedding_dim": 4, "epochs": 1, "device": "cpu"}
    other = jobs.train("TransE", data, Runs(tmp_path / "runs"), settings=small, progress=False)
    with pytest.raises(UsageError, match="is a TransE and has no rules"):
        jobs.rules(other)


def test_an_evaluation_measures_rules_like_embeddings(graph: Graph, tmp_path: Path) -> None:
    data = jobs.read(graph, SCHEMA, name="Rules")
    folder = jobs.train("Rules", data, Runs(tmp_path / "runs"), settings={"min_support": 1}, progress=False)
    table = jobs.evaluate(graph, [folder], progress=False)["embedding"]
    assert {"MRR", "hits@10", "untrained"} <= set(table.columns) and 0 < table["MRR"].iloc[0] <= 1
