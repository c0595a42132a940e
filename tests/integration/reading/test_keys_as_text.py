"""Commands find a node by a key typed as text, whatever its type, and fail where nobody has the key."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from kgplug import jobs
from kgplug.cli import app
from kgplug.data.artefact import read_content
from kgplug.errors import KgplugError, UsageError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.graph import Graph
from kgplug.graph.guessing.schema import guess_schema
from kgplug.graph.reading.reader import read_interactions
from kgplug.graph.schema import GraphSchema, KnowledgeSchema
from kgplug.graph.server.home import Endpoint
from kgplug.jobs.erase_user import erase_user
from kgplug.serving.view import neighbourhood, why
from kgplug.training.runs import Runs

SCHEMA = GraphSchema(knowledge=KnowledgeSchema(keys={"Genre": "id"}))
RATED = """
UNWIND range(1, 20) AS u UNWIND range(1, 10) AS i WITH u, i WHERE (u * 7 + i * 3) % 4 < 2
MERGE (a:User {{id: {user}}}) MERGE (b:Movie {{id: {item}}}) CREATE (a)-[:RATED]->(b)
"""
LISTS = "MATCH (u:User)-[r:RECOMMENDS]-() WHERE u.id = $user RETURN count(r) AS n"


@pytest.fixture(scope="module")
def shared_graph(shared_connection: Connection, tmp_path_factory: pytest.TempPathFactory) -> Graph:
    """A published ItemKNN on a graph whose keys are whole numbers, for tests that only read."""
    return fill(shared_connection, tmp_path_factory.mktemp("shared"))


@pytest.fixture
def home(neo4j_server: Endpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder of runs and no kgplug.toml, with the server of the tests."""
    monkeypatch.setenv("NEO4J_URI", neo4j_server.uri)
    monkeypatch.setenv("NEO4J_USERNAME", neo4j_server.username)
    monkeypatch.setenv("NEO4J_PASSWORD", neo4j_server.password.get_secret_value())
    monkeypatch.setenv("KGPLUG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def kgplug(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in arguments])


def fill(connection: Connection, home: Path, *, user: str = "u", item: str = "i") -> Graph:
    """Publish ItemKNN on a graph whose keys are what the expressions give for the numbers u and i."""
    connection.write(RATED.format(user=user, item=item))
    connection.write("CREATE (:Genre {id: '1'}), (:Genre {id: '2'})")
    connection.write("MATCH (m:Movie), (g:Genre) WHERE toString(m.id) < '5' OR g.id = '2' CREATE (m)-[:IN_GENRE]->(g)")
    graph = Graph(connection).use(SCHEMA)
    runs = Runs(home / "runs")
    folder = jobs.train("ItemKNN", jobs.read(graph, SCHEMA, name="ItemKNN"), runs, progress=False)
    jobs.publish(graph, folder, k=3, progress=False)
    return graph


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"user": 7, "model": "Nope", "k": 3}, "No published model is called 'Nope'. Published: ItemKNN."),
        ({"user": 7, "model": "itemknn", "k": 3}, "No published model is called 'itemknn'. Published: ItemKNN."),
        ({"user": 7, "model": "ItemKNN", "k": 0}, "k: expected a whole number of at least 1, found 0."),
        ({"user": 7, "model": "ItemKNN", "k": "3"}, "k: expected a whole number of at least 1, found '3'."),
        ({"user": 7}, "The query recommend needs a value for k, model. Parameters: $user: key of the user."),
        ({"user": np.int64(99), "model": "ItemKNN", "k": 3}, "No User has id = 99. Existing keys: "),
    ],
)
def test_a_query_that_finds_nothing_reports_its_wrong_parameters(
    shared_graph: Graph, parameters: dict, said: str
) -> None:
    with pytest.raises(UsageError) as refused:
        shared_graph.cypher("recommend", **parameters)
    assert said in str(refused.value)
    assert len(shared_graph.cypher("recommend", user=np.int64(7), model="ItemKNN", k=np.int64(2))) == 2


def test_a_parameter_that_is_given_twice_is_refused(shared_graph: Graph, home: Path) -> None:
    result = kgplug("cypher", "recommend", "--run", "-p", "user=7", "-p", "user=8", "-p", "model=ItemKNN", "-p", "k=3")
    assert isinstance(result.exception, UsageError) and "-p user is given twice: 7 and 8" in str(result.exception)


def test_parameters_of_a_query_are_of_the_type_that_it_takes(shared_graph: Graph, home: Path) -> None:
    for pair, said in (("k=many", "a whole number"), ("film=3", "parameters: k, model, user"), ("user", "name=value")):
        result = kgplug("cypher", "recommend", "--run", "-p", pair)
        assert isinstance(result.exception, UsageError) and said in str(result.exception), pair


@pytest.mark.parametrize(
    ("user", "item", "typed_user", "typed_item"),
    [
        ("u", "i", "7", "3"),
        ("toString(u)", "toString(i)", "7", "3"),
        ("'00' + u", "i + 0.0", "007", "3"),
        ("-u", "'i ' + i", "-7", "i 3"),
    ],
)
def test_every_command_finds_a_key_of_its_stored_type(
    connection: Connection, home: Path, user: str, item: str, typed_user: str, typed_item: str
) -> None:
    fill(connection, home, user=user, item=item)
    for arguments in (["--json"], ["--live", "--json"]):
        result = kgplug("recommend", *arguments, "--", typed_user)
        assert result.exit_code == 0, result.exception
        assert json.loads(result.stdout)
    result = kgplug("similar", typed_item, "--json")
    assert "No User" not in str(result.exception) and "No Movie" not in str(result.exception)
    for query, *pairs in (
        ("recommend", "model=ItemKNN", f"user={typed_user}", "k=2"),
        ("popular_unseen", f"user={typed_user}", "k=2"),
        ("explain", f"user={typed_user}", f"item={typed_item}", "k=2"),
    ):
        result = kgplug("cypher", query, "--run", "--json", *(word for pair in pairs for word in ("-p", pair)))
        assert result.exit_code == 0, result.exception


@pytest.mark.parametrize("stored", ["u", "toString(u)"])
def test_erasing_a_user_by_text_erases_edges_and_rows_and_proves_it(
    connection: Connection, home: Path, stored: str
) -> None:
    fill(connection, home, user=stored)
    key = connection.rows(f"WITH 7 AS u RETURN {stored} AS key")[0]["key"]
    assert connection.rows(LISTS, user=key) == [{"n": 3}]
    result = kgplug("erase-user", "7", "--json")
    assert result.exit_code == 0, result.exception
    told = json.loads(result.stdout)
    assert (told["graph"]["before"], told["graph"]["found"]) == ([3, []], [0, []])
    assert connection.rows(LISTS, user=key) == [{"n": 0}]
    assert key not in read_content(home / "runs" / told["runs"][0])["user_keys"]
    others = connection.rows("MATCH (:User)-[r:RECOMMENDS]->() RETURN count(r) AS n")
    assert others == [{"n": 19 * 3}]


def test_a_user_whose_node_is_gone_is_still_erased_from_the_runs(connection: Connection, home: Path) -> None:
    fill(connection, home, user="toString(u)")
    connection.write("MATCH (u:User {id: '7'}) DETACH DELETE u")
    result = kgplug("erase-user", "7")
    assert result.exit_code == 0, result.exception
    assert "user removed from 1 run on" in result.stdout and "The graph has no node with that key." in result.stdout
    again = kgplug("erase-user", "7")
    assert isinstance(again.exception, UsageError)


@pytest.mark.parametrize("stored", ["u", "toString(u)"])
def test_a_key_that_never_existed_is_refused_everywhere(connection: Connection, home: Path, stored: str) -> None:
    graph = fill(connection, home, user=stored)
    folder = jobs.train(
        "TransE", jobs.read(graph, SCHEMA, name="TransE"), Runs(home / "runs"), progress=False,
        settings={"embedding_dim": 4, "epochs": 1, "device": "cpu"},
    )  # fmt: skip
    for arguments in (
        ("recommend", "4200"),
        ("recommend", "4200", "--live"),
        ("recommend", " 7"),
        ("recommend", "07"),
        ("similar", "4200"),
        ("erase-user", "4200"),
        ("predict", folder.name, "--relation", "IN_GENRE", "--head", "4200"),
        ("predict", folder.name, "--relation", "IN_GENRE", "--tail", "77"),
        ("cypher", "recommend", "--run", "-p", "user=4200", "-p", "model=ItemKNN", "-p", "k=3"),
        ("cypher", "similar", "--run", "-p", "item=x", "-p", "model=ItemKNN", "-p", "k=3"),
        ("cypher", "popular_unseen", "--run", "-p", "user=4200", "-p", "k=3"),
    ):
        result = kgplug(*arguments)
        assert isinstance(result.exception, KgplugError), (arguments, result.output)
        assert "\n" not in str(result.exception)
    one = kgplug("predict", folder.name, "--relation", "IN_GENRE", "--tail", "1", "--tail-type", "Genre", "--json")
    assert one.exit_code == 0, one.exception


def test_keys_given_in_python_keep_their_type(connection: Connection, home: Path) -> None:
    graph, runs = fill(connection, home), Runs(home / "runs")
    for refused in (
        lambda: graph.erase_user("7"),
        lambda: erase_user(graph, runs, "7"),
        lambda: graph.cypher("recommend", user="7", model="ItemKNN", k=3),
        lambda: graph.cypher("popular_unseen", user="7", k=3),
        lambda: neighbourhood(graph, label="Movie", key="3"),
        lambda: why(graph, user="7", item=3),
    ):
        with pytest.raises(UsageError, match=r"(but one has the number|Existing keys)"):
            refused()
    assert connection.rows(LISTS, user=7) == [{"n": 3}]
    assert erase_user(graph, runs, 7).graph.edges == 3


def test_a_key_property_that_no_node_has_is_reported_with_the_existing_ones(connection: Connection, home: Path) -> None:
    connection.write("UNWIND range(1, 5) AS u CREATE (:User {uid: u})-[:RATED]->(:Movie {id: u})")
    said = "No User has id = '3'. No User has the property 'id'. Properties found: uid."
    for words in (["recommend", "3"], ["erase-user", "3"]):
        result = kgplug(*words)
        assert isinstance(result.exception, UsageError) and said in str(result.exception), words
    connection.write("MATCH (n) DETACH DELETE n")
    with pytest.raises(UsageError, match=r"The graph has no :User node with properties"):
        Graph(connection).use(SCHEMA).erase_user(3)


def test_init_accepts_whole_floats_as_keys_as_the_reader_does(connection: Connection) -> None:
    connection.write(RATED.format(user="u * 1.0", item="i / 2.0"))
    connection.write("MATCH (m:Movie) SET m.number = toFloat(m.id * 2)")
    schema, _ = guess_schema(connection)
    assert (schema.user.key, schema.item.key) == ("id", "number")
    assert read_interactions(connection, schema).user_keys.tolist() == list(range(1, 21))


def test_of_two_keys_that_look_the_same_the_number_is_chosen_and_both_are_reported(
    connection: Connection, home: Path
) -> None:
    fill(connection, home, user="CASE WHEN u = 8 THEN '7' ELSE u END")
    result = kgplug("recommend", "7", "--json")
    assert "the number 7 and the text '7'" in result.stderr
    number, text = (json.loads(kgplug("recommend", user, "--json").stdout) for user in ("7", '"7"'))
    assert json.loads(result.stdout) == number
    assert [row["id"] for row in number] != [row["id"] for row in text]
    assert kgplug("erase-user", '"7"').exit_code == 0
    assert [connection.rows(LISTS, user=user)[0]["n"] for user in (7, "7")] == [3, 0]
