"""`kgplug link`: propose pairs of two labels, correct the table, join them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from kgplug.errors import DataError, UsageError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.graph import Graph
from kgplug.graph.server.home import Endpoint
from kgplug.jobs import link
from tests.faults.command import kgplug

FILMS = (("m1", "Toy Story", 1995), ("m2", "Heat", 1995), ("m3", "Solaris", 1972), ("m4", "Solaris", 2002))
OTHERS = (
    (1, "Toy Story (1995)", "1995-11-22"),
    (2, "HEAT", "1995-12-15"),
    (3, "Solaris", "2002-11-27"),
    (9, "Up", "2009-05-29"),
)


@pytest.fixture
def graph(connection: Connection) -> Graph:
    connection.write(
        "UNWIND $films AS f CREATE (m:Movie {id: f[0], title: f[1], year: f[2], stars: 5})-[:IN {w: 1}]->"
        "(:Genre {name: 'genre of ' + f[0]})",
        films=FILMS,
    )
    connection.write(
        "UNWIND $films AS f CREATE (m:Film:Old {code: f[0], name: f[1], released: date(f[2]), stars: 1})"
        "<-[:DIRECTED {fee: 7}]-(:Person {name: 'director of ' + f[1]})",
        films=OTHERS,
    )
    return Graph(connection)


def test_pairs_are_proposed_by_name_and_year(graph: Graph) -> None:
    table = link.proposed(graph, *link.labels_to_link(graph, "Movie", "Film"))
    assert {(row.left, row.right) for row in table.itertuples()} >= {("m1", 1), ("m2", 2), ("m4", 3)}
    assert 9 not in set(table["right"]) and "m3" not in set(table["left"])


def test_a_corrected_table_is_applied_and_applying_it_again_changes_nothing(graph: Graph, tmp_path: Path) -> None:
    a, b = link.labels_to_link(graph, "Movie", "Film")
    file = tmp_path / "links.csv"
    table = link.proposed(graph, a, b)
    link.write_table(table.assign(verdict=["same" if key != "m2" else "doubtful" for key in table["left"]]), file)
    for _ in range(2):
        assert link.apply_table(graph, a, b, file) == len(table) - 1
        rows = graph.connection.rows("MATCH (a)-[s:SAME_AS]->(b) RETURN a.id AS a, b.code AS b, s.probability AS p")
        assert {(row["a"], row["b"]) for row in rows} == {("m1", 1), ("m4", 3)}
        assert all(0.5 <= row["p"] <= 1 for row in rows)


def test_nodes_that_have_both_labels_are_not_compared(graph: Graph) -> None:
    graph.connection.write("MATCH (m:Movie {id: 'm1'}) SET m:Film, m.code = 77, m.name = 'Toy Story'")
    table = link.proposed(graph, *link.labels_to_link(graph, "Movie", "Film"))
    assert "m1" not in set(table["left"]) and 77 not in set(table["right"])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            {"verdict": ["same"], "left": ["m7"], "right": ["1"]},
            "1 key is in the column left, but not in the graph",
        ),
        ({"verdict": ["same"] * 2, "left": ["m1", "m2"], "right": ["1", "1"]}, "'1' is in several pairs"),
        ({"verdict": ["yes"], "left": ["m1"], "right": ["1"]}, 'verdict \'yes\': expected "same" or "doubtful"'),
    ],
)
def test_a_wrong_table_changes_nothing(graph: Graph, tmp_path: Path, rows: dict[str, list[str]], message: str) -> None:
    a, b = link.labels_to_link(graph, "Movie", "Film")
    pd.DataFrame(rows).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(DataError, match=message):
        link.apply_table(graph, a, b, tmp_path / "t.csv")
    assert graph.connection.rows("MATCH (n) RETURN count(n) AS n")[0]["n"] == 16


def test_what_cannot_be_compared_is_said(graph: Graph, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Both labels are Movie"):
        link.labels_to_link(graph, "Movie", "Movie")
    with pytest.raises(DataError, match="Fillm"):
        link.labels_to_link(graph, "Movie", "Fillm")
    with pytest.raises(UsageError, match="--names title: expected two properties"):
        link.labels_to_link(graph, "Movie", "Film", names=["title"])
    a, b = link.labels_to_link(graph, "Movie", "Film")
    with pytest.raises(UsageError, match=r"none\.csv cannot be read as a table"):
        link.apply_table(graph, a, b, tmp_path / "none.csv")


def test_the_command_writes_a_table_and_applies_it(graph: Graph, neo4j_server: Endpoint, tmp_path: Path) -> None:
    file = str(tmp_path / "links.csv")
    result = kgplug("link", "Movie", "Film", "--table", file, home=tmp_path, endpoint=neo4j_server)
    assert result.returncode == 0, result.stderr
    assert "Compared by title and name" in result.stdout and "--apply" in result.stdout
    table = pd.read_csv(file).assign(verdict="same")
    table.to_csv(file, index=False)
    refused = kgplug("link", "Movie", "Film", "--table", file, home=tmp_path, endpoint=neo4j_server)
    assert refused.returncode == 2 and "links.csv exists. Use --apply" in refused.stderr
    assert set(pd.read_csv(file)["verdict"]) == {"same"}
    joined = kgplug("link", "Movie", "Film", "--table", file, "--apply", home=tmp_path, endpoint=neo4j_server)
    assert f"{len(table)} pairs joined by SAME_AS." in joined.stdout
