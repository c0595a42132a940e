"""Bad input on a real server: files, addresses, names, graphs that are too small or not sound."""

from __future__ import annotations

import csv
import json
import socket
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kgplug import jobs
from kgplug.data.sources.csv_folder import file_name, write_folder
from kgplug.errors import DataError, UsageError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.check import check
from kgplug.graph.graph import Graph
from kgplug.graph.guessing.schema import guess_schema
from kgplug.graph.importing.importer import import_folder
from kgplug.graph.reading.reader import read_interactions, read_knowledge
from kgplug.graph.schema import FeedbackSchema, GraphSchema, ItemSchema, KnowledgeSchema, UserSchema
from kgplug.graph.server.home import Endpoint
from kgplug.recommenders.models.popularity import Popularity
from kgplug.training.runs import Runs
from tests.faults.command import kgplug, sentence
from tests.integration.helpers.sample_graphs import FILM_KEYS, FILMS, build

MALFORMED = {
    "nodes/Movie.csv": b"\xef\xbb\xbfid:int,title,year:int\r\n"  # a byte order mark
    b'1,"Good, the\nbad",1966\r\n'  # a quoted line end: one row on two lines
    b"2,Caf\xe9,1979\r\n"  # no UTF-8
    b'3,"Cube\n2"\r\n'  # ragged
    b'4,"=HYPERLINK(""http://evil/"",""x"")",soon\r\n'
    b"1,again,1\r\n",
    "nodes/User.csv": b"id\nann\n",
    "relationships/User-RATED-Movie.csv": b"user,movie:int,rating:float\nann,1,5\n=cmd,1,4\nann,9,3\nann,2,x\n",
}
REJECTED = [
    ("nodes/Movie.csv", 4, "title", "the bytes 'Caf\\\\udce9' are not UTF-8", "2,Caf\\udce9,1979"),
    ("nodes/Movie.csv", 5, "", "expected 3 cells, found 2", '3,"Cube\n2"'),
    (
        "nodes/Movie.csv",
        7,
        "year:int",
        "expected a 64-bit integer, found 'soon'",
        '4,"=HYPERLINK(""http://evil/"",""x"")",soon',
    ),
    ("nodes/Movie.csv", 8, "id:int", "the key '1' was already on line 2", "1,again,1"),
    ("relationships/User-RATED-Movie.csv", 3, "user", "there is no User node with the key '=cmd'", "'=cmd,1,4"),
    (
        "relationships/User-RATED-Movie.csv",
        4,
        "movie:int",
        "there is no Movie node with the key '9'",
        "ann,9,3",
    ),
    ("relationships/User-RATED-Movie.csv", 5, "rating:float", "expected a number, found 'x'", "ann,2,x"),
]


def make(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def everything(connection: Connection) -> list[str]:
    """All nodes and relationships of a database, as sorted text."""
    nodes = connection.rows("MATCH (n) RETURN labels(n) AS labels, n")
    links = connection.rows("MATCH (a)-[r]->(b) RETURN elementId(a) AS a, type(r) AS t, properties(r) AS r")
    return sorted(json.dumps(row, sort_keys=True, default=str) for row in nodes + links)


def test_bad_rows_are_named_and_listed_in_a_file_and_nothing_is_imported(
    connection: Connection, neo4j_server: Endpoint, tmp_path: Path
) -> None:
    make(tmp_path / "films", MALFORMED)
    result = kgplug("import", "films", home=tmp_path, endpoint=neo4j_server)
    assert sentence(result) == (
        "nodes/Movie.csv, line 4, column \"title\": the bytes 'Caf\\\\udce9' are not UTF-8 (4 bad rows in this file). "
        "Other files have 3 more. Nothing was imported; correct the file and import again. All bad rows: "
        "rejected-rows.csv."
    )
    assert everything(connection) == []
    assert connection.rows("SHOW CONSTRAINTS") == []
    with (tmp_path / "rejected-rows.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["file", "line", "column", "problem", "row"]
    assert [(name, int(line), *rest) for name, line, *rest in rows] == REJECTED
    assert sorted(path.name for path in tmp_path.iterdir()) == ["films", "rejected-rows.csv"]


def test_a_formula_is_text_in_the_graph_and_inert_in_what_is_exported(connection: Connection, tmp_path: Path) -> None:
    formulas = ['=HYPERLINK("http://evil/")', "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "plain"]
    rows = pd.DataFrame({"id": formulas, "title": formulas})
    write_folder(tmp_path / "good", nodes={"Movie": rows}, relationships={})
    import_folder(connection, tmp_path / "good")
    found = connection.rows("MATCH (n:Movie) RETURN n.id AS id, n.title AS title")
    assert sorted(row["id"] for row in found) == sorted(formulas)
    assert all(row["id"] == row["title"] for row in found)

    write_folder(tmp_path / "bad", nodes={"Movie": rows.assign(**{"year:int": "x"})}, relationships={})
    with pytest.raises(DataError):
        import_folder(connection, tmp_path / "bad", rejected=tmp_path / "rejected.csv")
    with (tmp_path / "rejected.csv").open(encoding="utf-8", newline="") as file:
        cells = [row[-1] for row in list(csv.reader(file))[1:]]
    assert len(cells) == len(formulas)
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


@pytest.mark.parametrize("address", ["http://169.254.169.254/", "file:///etc/passwd", "FTP://host/x"])
def test_an_import_takes_folders_and_named_data_sets_and_contacts_no_address(
    neo4j_server: Endpoint, tmp_path: Path, address: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:  # what asked for an address would come by here
        proxy.settimeout(0)
        uri = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        result = kgplug("import", address, home=tmp_path, endpoint=neo4j_server, http_proxy=uri, https_proxy=uri)
        with pytest.raises(BlockingIOError):
            proxy.accept()
    assert "is an address; import takes a folder on this machine" in sentence(result, exit_code=2)
    assert "root:" not in result.stderr + result.stdout


INJECTIONS = ["A`) DETACH DELETE n //", "A\\u0060) DETACH DELETE n //", "`", "A\\"]


@FILM_KEYS
@pytest.mark.parametrize("name", INJECTIONS)
@pytest.mark.parametrize("part", ["user", "item", "key", "type", "rating", "knowledge", "keys"])
def test_a_name_with_cypher_in_it_reads_nothing_and_changes_nothing(
    connection: Connection, part: str, name: str
) -> None:
    build(connection, FILMS)
    before = everything(connection)
    schema = {
        "user": GraphSchema(user=UserSchema(label=name)),
        "item": GraphSchema(item=ItemSchema(label=name)),
        "key": GraphSchema(item=ItemSchema(key=name)),
        "type": GraphSchema(feedback=FeedbackSchema(type=name)),
        "rating": GraphSchema(feedback=FeedbackSchema(rating=name, like_threshold=1)),
        "knowledge": GraphSchema(knowledge=KnowledgeSchema(relationships=[name], keys={"Actor": "id", "Genre": "id"})),
        "keys": GraphSchema(knowledge=KnowledgeSchema(keys={"Actor": name, "Genre": "id"})),
    }[part]
    with pytest.raises((DataError, UsageError)):
        read_interactions(connection, schema)
        read_knowledge(connection, schema)
    try:
        assert not check(connection, schema).ok
    except UsageError as error:
        assert "cannot be a label" in str(error)
    assert everything(connection) == before


def test_a_graph_whose_names_contain_cypher_is_guessed_read_and_not_changed(connection: Connection) -> None:
    label = "`A``) DETACH DELETE n //`"
    connection.write(f"UNWIND range(1, 9) AS i CREATE (:{label} {{id: i, title: 't' + i}}), (:User {{id: i}})")
    connection.write(
        f"MATCH (u:User), (m:{label}) WHERE (u.id + m.id) % 2 = 0 CREATE (u)-[:{label} {{rating: 5}}]->(m)"
    )
    before = everything(connection)
    schema, _ = guess_schema(connection)
    assert (schema.item.label, schema.feedback[0].type) == ("A`) DETACH DELETE n //",) * 2
    assert len(read_interactions(connection, schema)) == 41
    assert everything(connection) == before


def small_graph(connection: Connection) -> GraphSchema:
    """Build a graph of one user, three films and one relation."""
    build(
        connection,
        """CREATE CONSTRAINT FOR (n:User) REQUIRE n.id IS UNIQUE;
        CREATE CONSTRAINT FOR (n:Movie) REQUIRE n.id IS UNIQUE;
        CREATE CONSTRAINT FOR (n:Actor) REQUIRE n.id IS UNIQUE;
        CREATE (:User {id: 1})-[:RATED]->(:Movie {id: 1})<-[:ACTED_IN]-(:Actor {id: 'a'})-[:ACTED_IN]->(:Movie {id: 2});
        MATCH (u:User), (m:Movie {id: 2}) CREATE (u)-[:RATED]->(m), (:Movie {id: 3})""",
    )
    return GraphSchema(knowledge=KnowledgeSchema(keys={"Actor": "id"}))


@pytest.mark.parametrize("name", ["MKR", "KGCN", "MF", "ItemKNN", "Popularity"])
def test_one_user_one_relation_and_k_beyond_the_films_give_a_short_list(
    connection: Connection, tmp_path: Path, name: str
) -> None:
    schema, graph, runs = small_graph(connection), Graph(connection), Runs(tmp_path)
    data = jobs.read(graph, schema, name=name)
    folder = jobs.train(name, data, runs, settings={"epochs": 2} if name in ("MKR", "KGCN", "MF") else {},
                        split=jobs.Split((1, 0, 0)), progress=False)  # fmt: skip
    jobs.publish(graph, folder, k=50, progress=False)
    listed = connection.rows("MATCH (:User)-[r:RECOMMENDS]->(m:Movie) RETURN r.rank AS rank, m.id AS film")
    assert listed == [{"rank": 1, "film": 3}]


STRANGE = [
    "film one", "🎬", "שלום עולם", "مرحبا", "e\u0301", "\u00e9", " blank ", "\u202eabc", "",
    2**63 - 1, -(2**63), 2**53 + 1, 0, "0", "9223372036854775807",
]  # fmt: skip


def test_any_key_is_the_same_after_import_read_training_and_publishing(connection: Connection, tmp_path: Path) -> None:
    texts = [key for key in STRANGE if isinstance(key, str) and key]
    numbers = [key for key in STRANGE if isinstance(key, int)]
    likes = [(user, film) for n, user in enumerate(texts) for film in (numbers * 3)[n : n + 2]]
    label, kind = "شخص", "كتاب 📚"
    write_folder(
        tmp_path / "in",
        nodes={label: pd.DataFrame({"id": texts}), kind: pd.DataFrame({"n:int": numbers})},
        relationships={(label, "RATED", kind): pd.DataFrame(likes, columns=["user", "book:int"])},
    )
    assert (tmp_path / "in" / "relationships" / file_name(label, "RATED", kind)).exists()
    import_folder(connection, tmp_path / "in")
    schema = GraphSchema(user=UserSchema(label=label), item=ItemSchema(label=kind, key="n"))
    graph = Graph(connection)
    read = graph.read_interactions(schema)
    assert set(read.user_keys) == set(texts) and set(read.item_keys) == set(numbers)
    pairs = zip(read.user_keys[read.users], read.item_keys[read.items], strict=True)
    assert set(pairs) == set(likes)
    model = Popularity().fit(read)
    graph.publish(model, k=3, also_seen=read)
    items, _ = model.recommend(np.arange(len(texts)), k=3)
    expected = {
        (key, rank + 1, model.item_keys[item])
        for key, row in zip(model.user_keys, items, strict=True)
        for rank, item in enumerate(row)
        if item >= 0
    }
    rows = connection.rows("MATCH (u)-[r:RECOMMENDS]->(m) RETURN u.id AS user, r.rank AS rank, m.n AS book")
    assert {(row["user"], row["rank"], row["book"]) for row in rows} == expected


@FILM_KEYS
def test_a_training_reports_how_many_of_kgplugs_own_edges_it_left_out(
    connection: Connection, neo4j_server: Endpoint, tmp_path: Path
) -> None:
    build(connection, FILMS)
    build(
        connection,
        """MATCH (u:User), (m:Movie {id: 12}) CREATE (u)-[:RECOMMENDS {model: 'X', run: 'r', rank: 1, score: 1.0}]->(m);
        MATCH (a:Movie {id: 1}), (b:Movie {id: 2}) CREATE (a)-[:SIMILAR_TO {model: 'X', run: 'r'}]->(b);
        CREATE (:KgplugModel {name: 'X'})-[:SERVES]->(:KgplugRun {id: 'r', model: 'X'})""",
    )
    result = kgplug("train", "CKE", "-s", "epochs=1", home=tmp_path, endpoint=neo4j_server)
    assert result.returncode == 0, result.stderr
    assert "10 relationships that kgplug wrote are left out." in result.stderr
    for words in (("--quiet",), ("--quiet", "--json")):
        result = kgplug("train", "ItemKNN", *words, home=tmp_path, endpoint=neo4j_server)
        assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout)["run"] == json.loads(result.stdout)["id"]


@FILM_KEYS
def test_kgplugs_own_edges_of_the_feedbacks_type_count_once(
    connection: Connection, neo4j_server: Endpoint, tmp_path: Path
) -> None:
    build(connection, FILMS)
    connection.write("MATCH (u:User)-[r:RATED]->(m:Movie) CREATE (u)-[:RECOMMENDS {rating: r.rating}]->(m) DELETE r")
    build(
        connection,
        """MATCH (u:User), (m:Movie {id: 12}) CREATE (u)-[:RECOMMENDS {model: 'X', run: 'r', rank: 1, score: 1.0}]->(m);
        CREATE (:KgplugModel {name: 'X'})-[:SERVES]->(:KgplugRun {id: 'r', model: 'X'})""",
    )
    (tmp_path / "kgplug.toml").write_text('[feedback]\ntype = "RECOMMENDS"\n[knowledge.keys]\nActor = "id"\n')
    schema = str(tmp_path / "kgplug.toml")
    result = kgplug("train", "CKE", "-s", "epochs=1", "--schema", schema, home=tmp_path, endpoint=neo4j_server)
    assert result.returncode == 0, result.stderr
    assert "9 relationships that kgplug wrote are left out." in result.stderr
