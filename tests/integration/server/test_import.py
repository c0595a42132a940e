"""Importing folders into a real Neo4j."""

from __future__ import annotations

import csv
import io
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from kgplug.data.sources import movielens_100k
from kgplug.data.sources.csv_folder import file_name, write_folder
from kgplug.errors import DataError, GraphError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.importing.importer import import_folder
from kgplug.graph.queries import load
from kgplug.graph.reading.reader import read_interactions, read_knowledge
from kgplug.graph.schema import DEMO_SCHEMA
from kgplug.graph.server.home import Endpoint
from kgplug.settings import Settings
from tests.converters import convert_douban, convert_movies_neo4j, shared_data

NASTY = "A`) DETACH DELETE n //"
SMALL = {
    "nodes/Movie.csv": "id:int,title,year:int,tags:string[],marks:int[],good:boolean,score:float\n"
    '1,"The ""best"", of\nall",1979,a;b,1;2,true,3.5\n'
    "9223372036854775807,back\\slash \\n \\u0041,,;x,,false,1e-3\n"
    "-3, 文字 العربية ,,\\,,,.5\n",
    "nodes/User.csv": "id,:LABEL\nann,Critic\nbob,Critic;Fan\ncid,\n",
    f"nodes/{file_name(NASTY)}": 'k`ey,"x\n// end of properties\n} IN TRANSACTIONS"\nz,1\n',
    "relationships/User-RATED-Movie.csv": "user,movie:int,rating:float,at:int\nann,1,4.5,7\nbob,-3,3,\nann,1,4,8\n",
    f"relationships/{file_name('Movie', 'IS`] DELETE', NASTY)}": "m:int,a\n1,z\n",
}
QUOTE_AFTER_BACKSLASH = {**SMALL, "nodes/Movie.csv": SMALL["nodes/Movie.csv"] + '4,"a\\""b, \\",,,,,\n'}


def make(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8", newline="")
    return folder


def contents(connection: Connection) -> tuple[list[str], list[str]]:
    """Everything in a database, as sorted text."""
    nodes = connection.rows("MATCH (n) RETURN labels(n) AS labels, n")
    links = connection.rows("MATCH (a)-[r]->(b) RETURN a, type(r) AS type, properties(r) AS r, b")
    return sorted(map(_text, nodes)), sorted(map(_text, links))


def _text(row: dict) -> str:
    return json.dumps(row, sort_keys=True)


def count(connection: Connection, pattern: str) -> int:
    return connection.rows(f"MATCH {pattern} RETURN count(*) AS n")[0]["n"]


def by_parameters(connection: Connection, endpoint: Endpoint) -> Connection:
    """The same database, as a server whose import folder cannot be reached."""
    return Connection.open(endpoint.uri, username=endpoint.username, password=endpoint.password, import_dir=None)


def test_values_are_imported_as_written_in_the_files(connection: Connection, tmp_path: Path) -> None:
    report = import_folder(connection, make(tmp_path, SMALL))
    assert (report.transport, report.nodes_created, report.relationships_created) == ("LOAD CSV", 7, 3)
    movies = {row["m"]["id"]: row["m"] for row in connection.rows("MATCH (m:Movie) RETURN m")}
    assert movies[1] == {
        "id": 1,
        "title": 'The "best", of\nall',
        "year": 1979,
        "tags": ["a", "b"],
        "marks": [1, 2],
        "good": True,
        "score": 3.5,
    }
    assert movies[2**63 - 1]["title"] == "back\\slash \\n \\u0041"
    assert movies[-3] == {"id": -3, "title": " 文字 العربية ", "tags": ["\\"], "score": 0.5}
    assert count(connection, "(:User:Critic)") == 2
    assert count(connection, "(:User:Critic:Fan {id: 'bob'})") == 1
    ratings = connection.rows("MATCH (u:User)-[r:RATED]->(m:Movie) RETURN u.id AS u, m.id AS m, properties(r) AS r")
    assert sorted(ratings, key=_text) == [
        {"u": "bob", "m": -3, "r": {"rating": 3.0}},
        {"u": "ann", "m": 1, "r": {"rating": 4.0, "at": 8}},
    ]
    assert connection.rows("MATCH (:Movie)-[r]->(n) RETURN labels(n) AS l, type(r) AS t") == [
        {"l": [NASTY], "t": "IS`] DELETE"}
    ]


TYPED = {
    "when:date": ["2024-01-31", ""],
    "at:datetime": ["2024-01-31 10:00:00.5+01:00", "2024-07-31T10:00:00[Europe/Berlin]"],
    "local:localdatetime": ["2024-01-31 10:00", "2024-01-31T10:00:00.123456789"],
    "place:point": ["{latitude: 52.5, longitude: 13.4}", "point({x: 1, y: 2, z: 3, crs: 'cartesian-3d'})"],
    "places:point[]": ["{x: 1.5, y: 2};{x: 3, y: 4}", ""],
    "days:date[]": ["2024-01-31;2024-02-29", ""],
    "good:boolean": ["True", "0.0"],
    "year:int": ["1995.0", ""],
}


@pytest.mark.parametrize("transport", ["LOAD CSV", "parameters"])
def test_times_points_and_values_written_by_pandas_get_their_types(
    connection: Connection, neo4j_server: Endpoint, tmp_path: Path, transport: str
) -> None:
    frame = pd.DataFrame({"id:int": [1, 2], **TYPED})
    links = pd.DataFrame({"a:int": ["1.0"], "b:int": ["2"], "at:datetime": ["2024-01-31"], "p:point": ["{x: 1, y: 2}"]})
    write_folder(tmp_path, nodes={"A": frame}, relationships={("A", "R", "A"): links})
    opened = connection if transport == "LOAD CSV" else by_parameters(connection, neo4j_server)
    assert import_folder(opened, tmp_path).transport == transport
    (row,) = connection.rows(
        "MATCH (a:A {id: 1})-[r:R]->(b:A {id: 2}) RETURN a.when = date('2024-01-31') AS `when`, "
        "a.at = datetime('2024-01-31T10:00:00.5+01:00') AS at, "
        "b.at = datetime('2024-07-31T10:00:00+02:00[Europe/Berlin]') AS zone, "
        "a.local = localdatetime('2024-01-31T10:00') AS local, b.local.nanosecond = 123456789 AS exact, "
        "a.place = point({latitude: 52.5, longitude: 13.4}) AS place, b.place = point({x: 1, y: 2, z: 3}) AS space, "
        "a.places = [point({x: 1.5, y: 2}), point({x: 3, y: 4})] AS places, "
        "a.days = [date('2024-01-31'), date('2024-02-29')] AS days, a.good = true AND b.good = false AS good, "
        "a.year = 1995 AND a.year IS :: INTEGER NOT NULL AS year, b.when IS NULL AND b.year IS NULL AS empty, "
        "r.at = datetime('2024-01-31') AND r.p = point({x: 1, y: 2}) AS link"
    )
    assert row == dict.fromkeys(row, True)
    again = import_folder(opened, tmp_path)
    assert not again.changed


def test_values_of_the_driver_survive_an_export_and_import(connection: Connection, tmp_path: Path) -> None:
    connection.write(
        "CREATE (:A {id: 1, day: date('2024-01-31'), at: datetime('2024-07-31T10:00:00.123456789[Europe/Berlin]'), "
        "local: localdatetime('2024-01-31T10:00'), ok: true, "
        "place: point({latitude: 52.5, longitude: 13.4, height: 3})})"
    )
    query = "MATCH (a:A) RETURN a.id AS `id:int`, a.day AS `day:date`, a.at AS `at:datetime`, a.ok AS `ok:boolean`, "
    query += "a.local AS `local:localdatetime`, a.place AS `place:point`"
    before = connection.rows(query)
    write_folder(tmp_path, nodes={"A": pd.DataFrame(before)}, relationships={})
    connection.write("MATCH (a:A) DELETE a")
    import_folder(connection, tmp_path)
    assert connection.rows(query) == before


@pytest.mark.parametrize("separator", [";", "tab", "|"])
def test_another_separator_gives_the_same_graph(connection: Connection, tmp_path: Path, separator: str) -> None:
    import_folder(connection, make(tmp_path / "commas", SMALL))
    before = contents(connection)
    connection.write("MATCH (n) DETACH DELETE n")
    for name, text in SMALL.items():
        path = tmp_path / "others" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            character = "\t" if separator == "tab" else separator
            csv.writer(file, delimiter=character).writerows(csv.reader(io.StringIO(text, newline="")))
    import_folder(connection, tmp_path / "others", separator=separator)
    assert contents(connection) == before


@pytest.mark.parametrize("files", [SMALL, QUOTE_AFTER_BACKSLASH], ids=["LOAD CSV", "backslash before a quote"])
def test_both_transports_give_the_same_graph_and_a_second_import_changes_nothing(
    connection: Connection, neo4j_server: Endpoint, tmp_path: Path, files: dict[str, str]
) -> None:
    folder = make(tmp_path, {**files, "relationships/User-RATED-Movie.csv": "u,m:int,rating:float\nann,1,4\n"})
    with by_parameters(connection, neo4j_server) as remote:
        first = import_folder(remote, folder)
        expected = contents(connection)
        assert (first.transport, first.changed) == ("parameters", True)
        assert not import_folder(connection, folder).changed
        connection.write("MATCH (n) DETACH DELETE n")
        second = import_folder(connection, folder)
        assert contents(connection) == expected
        assert not import_folder(remote, folder).changed
    counts = [[(file.name, file.created, file.labels_added) for file in report.files] for report in (first, second)]
    assert counts[0] == counts[1]
    assert contents(connection) == expected
    assert list((connection.import_dir or tmp_path).iterdir()) == []


def test_only_differing_values_are_updated(connection: Connection, tmp_path: Path) -> None:
    files = {
        "nodes/A.csv": "id,x:int,y\na,1,one\nb,2,two\n",
        "relationships/A-R-A.csv": "from,to,w:float\na,b,1\n",
    }
    import_folder(connection, make(tmp_path, files))
    connection.write("MATCH (n:A) SET n.mine = n.id CREATE (n)-[:OWN]->(:Other)")
    files = {
        "nodes/A.csv": "id,x:int,y\na,1,\nb,3,two\nc,4,four\n",
        "relationships/A-R-A.csv": "from,to,w:float\na,b,2\nb,a,\n",
    }
    report = import_folder(connection, make(tmp_path, files))
    assert (report.nodes_created, report.relationships_created) == (1, 1)
    nodes = connection.rows("MATCH (n:A) RETURN n ORDER BY n.id")
    assert [row["n"] for row in nodes] == [
        {"id": "a", "x": 1, "mine": "a"},
        {"id": "b", "x": 3, "y": "two", "mine": "b"},
        {"id": "c", "x": 4, "y": "four"},
    ]
    weights = connection.rows("MATCH (a:A)-[r:R]->(b:A) RETURN a.id AS a, r.w AS w ORDER BY a.id")
    assert weights == [{"a": "a", "w": 2.0}, {"a": "b", "w": None}]
    assert count(connection, "(:A)-[:OWN]->(:Other)") == 2


@pytest.mark.parametrize(
    "bad",
    ["user,movie:int\nann,1\nbob\n", "user,movie:int\nann,1\nann,7\n", "user,movie:int,r:float\nann,1,x\n"],
    ids=["ragged", "no such end", "no number"],
)
def test_a_bad_row_leaves_the_database_untouched(connection: Connection, tmp_path: Path, bad: str) -> None:
    with pytest.raises(DataError, match=r"relationships/User-RATED-Movie.csv, line [23]"):
        import_folder(connection, make(tmp_path, {**SMALL, "relationships/User-RATED-Movie.csv": bad}))
    assert contents(connection) == ([], [])
    assert connection.rows("SHOW CONSTRAINTS") == []


def test_a_name_that_cypher_would_decode_is_imported_unchanged(connection: Connection, tmp_path: Path) -> None:
    import_folder(connection, make(tmp_path, {"nodes/A.csv": "id\na\n", "nodes/B.csv": "id,\\u0060\nb,1\n"}))
    assert connection.rows("MATCH (n:B) RETURN n[$name] AS value", name="\\u0060") == [{"value": "1"}]


def test_a_constraint_of_another_name_is_reused(connection: Connection, tmp_path: Path) -> None:
    connection.autocommit("CREATE CONSTRAINT mine FOR (n:A) REQUIRE n.id IS UNIQUE")
    report = import_folder(connection, make(tmp_path, {"nodes/A.csv": "id\na\n", "nodes/B.csv": "id\nb\n"}))
    assert report.constraints == ("B",)
    assert len(connection.rows("SHOW CONSTRAINTS")) == 2


def test_an_index_that_blocks_a_constraint_is_reported(connection: Connection, tmp_path: Path) -> None:
    connection.autocommit("CREATE INDEX plain FOR (n:A) ON (n.id)")
    with pytest.raises(GraphError, match="DROP INDEX `plain`"):
        import_folder(connection, make(tmp_path, {"nodes/A.csv": "id\na\n"}))


def test_nodes_that_share_a_key_are_reported(connection: Connection, tmp_path: Path) -> None:
    connection.write("CREATE (:A {id: 'x'}), (:A {id: 'twice'}), (:A {id: 'twice'})")
    with pytest.raises(DataError, match="2 of them have id = 'twice'"):
        import_folder(connection, make(tmp_path, {"nodes/A.csv": "id\na\n"}))
    assert count(connection, "(n)") == 3


_KILLED = """
import sys, time
from pathlib import Path
from pydantic import SecretStr
from kgplug.graph.importing import importer
from kgplug.graph.bolt.connection import Connection
importer.FILE_ROWS = importer.BATCH_ROWS = 300
blocks = importer._blocks
def slowly(table, n_rows):
    for rows in blocks(table, n_rows):
        yield rows
        time.sleep(0.1)
importer._blocks = slowly
password = SecretStr(sys.stdin.readline().strip())
import_dir = Path(sys.argv[2]) if sys.argv[2] else None
with Connection.open(sys.argv[1], password=password, import_dir=import_dir) as connection:
    importer.import_folder(connection, sys.argv[3])
"""


@pytest.mark.parametrize("transport", ["LOAD CSV", "parameters"])
def test_an_import_killed_half_way_is_completed_by_the_next(
    connection: Connection, neo4j_server: Endpoint, tmp_path: Path, transport: str
) -> None:
    n_nodes, n_links = 1_000, 12_000
    links = "".join(f"{i % n_nodes},{(i * 7 + i // n_nodes) % n_nodes},{i}\n" for i in range(n_links))
    nodes = "".join(f"{i}\n" for i in range(n_nodes))
    folder = make(
        tmp_path, {"nodes/A.csv": "id:int\n" + nodes, "relationships/A-R-A.csv": "a:int,b:int,w:int\n" + links}
    )
    import_dir = str(connection.import_dir) if transport == "LOAD CSV" else ""
    process = subprocess.Popen(
        [sys.executable, "-c", _KILLED, neo4j_server.uri, import_dir, str(folder)], stdin=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    process.stdin.write(neo4j_server.password.get_secret_value() + "\n")
    process.stdin.flush()
    deadline = time.monotonic() + 120
    while count(connection, "(:A)-[:R]->(:A)") == 0 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    process.stdin.close()
    assert 0 < count(connection, "(:A)-[:R]->(:A)") < n_links
    import_folder(connection, folder)
    assert count(connection, "(:A)") == n_nodes
    rows = connection.rows("MATCH (a:A)-[r:R]->(b:A) RETURN a.id AS a, b.id AS b, r.w AS w")
    assert sorted(row["w"] for row in rows) == list(range(n_links))
    assert all(row["b"] == (row["w"] * 7 + row["w"] // n_nodes) % n_nodes for row in rows)
    assert list((connection.import_dir or tmp_path / "none").glob("*")) == []


def test_movielens_100k_is_imported_completely(connection: Connection) -> None:
    downloads = Settings().downloads_dir
    report = import_folder(connection, movielens_100k.fetch(downloads), progress=False)
    counted = {file.name: file.created for file in report.files}
    assert all(file.created == file.rows for file in report.files)
    assert counted["nodes/Movie.csv"] == 1_682
    assert counted["nodes/User.csv"] == 943
    assert counted["nodes/Genre.csv"] == 18
    assert counted["relationships/User-RATED-Movie.csv"] == 100_000
    assert connection.rows("MATCH (m:Movie) RETURN count(m.freebase) AS n") == [{"n": 1_333}]
    assert count(connection, "(:Actor)-[:ACTED_IN]->(:Movie {title: 'Toy Story'})") > 5
    sequels = connection.rows("MATCH (a:Movie)-[:SEQUEL_OF]->(b:Movie) RETURN a.title AS a, b.title AS b")
    assert {"a": "Die Hard 2", "b": "Die Hard"} in sequels
    interactions, knowledge = movielens_100k.read_arrays(downloads)
    assert read_interactions(connection, DEMO_SCHEMA).fingerprint == interactions.fingerprint
    assert read_knowledge(connection, DEMO_SCHEMA).fingerprint == knowledge.fingerprint


def test_the_shipped_queries_load_the_demo_files_unchanged(connection: Connection) -> None:
    folder = movielens_100k.fetch(Settings().downloads_dir)
    import_dir = connection.import_dir or Path("absent")
    connection.autocommit(load("schema"))
    connection.autocommit("CREATE CONSTRAINT FOR (u:User) REQUIRE u.id IS UNIQUE")
    connection.write("UNWIND range(1, 943) AS id CREATE (:User {id: id})")
    shutil.copy(folder / "nodes" / "Movie.csv", import_dir / "Movie.csv")
    assert connection.autocommit(load("load_nodes"), file="file:///Movie.csv") == [{"rows": 1_682}]
    ratings = (folder / "relationships" / "User-RATED-Movie.csv").read_text().splitlines()[:1_001]
    (import_dir / "ratings.csv").write_text("\n".join(ratings))
    assert connection.autocommit(load("load_relationships"), file="file:///ratings.csv") == [{"rows": 1_000}]
    assert count(connection, "(:Movie {title: 'Toy Story', year: 1995})") == 1
    assert count(connection, "(:User)-[:RATED {rating: 5.0}]->(:Movie)") > 100


def test_movies_neo4j_is_imported_completely(connection: Connection, tmp_path: Path) -> None:
    convert_movies_neo4j(tmp_path)
    files = {file.name: file for file in import_folder(connection, tmp_path).files}
    assert {name: file.created for name, file in files.items() if name.startswith("nodes")} == {
        "nodes/Movie.csv": 8_964,
        "nodes/User.csv": 610,
        "nodes/Actor.csv": 15_268,
        "nodes/Director.csv": 4_011,
        "nodes/Genre.csv": 20,
    }
    rows = {file.name.split("-")[1]: file.rows for file in files.values() if not file.name.startswith("nodes")}
    assert rows == {"RATED": 100_836 - 4_415, "ACTED_IN": 35_495, "DIRECTED": 9_881, "IN_GENRE": 19_995}
    for type_, name in (
        ("RATED", "User-RATED-Movie"),
        ("ACTED_IN", "Actor-ACTED_IN-Movie"),
        ("DIRECTED", "Director-DIRECTED-Movie"),
        ("IN_GENRE", "Movie-IN_GENRE-Genre"),
    ):
        frame = pd.read_csv(tmp_path / "relationships" / f"{name}.csv", dtype=str, keep_default_na=False)
        assert count(connection, f"()-[:{type_}]->()") == len(frame.iloc[:, :2].drop_duplicates())


def test_douban_is_imported_completely_with_its_chinese_text(connection: Connection, tmp_path: Path) -> None:
    convert_douban(tmp_path)
    report = import_folder(connection, tmp_path)
    assert {file.name: (file.rows, file.created) for file in report.files} == {
        "nodes/Country.csv": (84, 84),
        "nodes/Movie.csv": (4_587, 4_587),
        "nodes/Person.csv": (22_937, 22_937),
        "relationships/Movie-ACTOR-Person.csv": (35_257, 35_257 - 13),
        "relationships/Movie-COMPOSER-Person.csv": (8_345, 8_345 - 6),
        "relationships/Movie-DIRECTOR-Person.csv": (5_015, 5_015),
        "relationships/Movie-DISTRICT-Country.csv": (6_227, 6_227 - 1),
    }
    source = pd.read_csv(shared_data("douban-openkg") / "Movie.csv.xz", dtype=str, keep_default_na=False)
    stored = connection.frame("MATCH (m:Movie) RETURN m.id AS id, m.title AS title, m.category AS category")
    stored = stored.set_index("id").loc[source["id:ID"]]
    assert stored["title"].tolist() == source["title"].replace("", None).tolist()
    categories = [";".join(cell) if isinstance(cell, list) else "" for cell in stored["category"]]
    assert categories == source["category:String[]"].tolist()
    assert len({part for cell in categories for part in cell.split(";")}) == 32  # the empty one counted
    assert not import_folder(connection, tmp_path).changed
