"""The demo ends right although it was killed on the way, and what it leaves in the graph can be used."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from kgplug.cli.demo import _is_imported
from kgplug.data.sources.catalogue import DEMO
from kgplug.graph import queries
from kgplug.graph.graph import Graph
from tests.demo.conftest import BARE_ID, PUBLISHED, Demo

STEPS = ["Neo4j", "MovieLens-100K", "Import", "Read", "Train", "Evaluate", "Publish"]


def test_each_step_says_what_it_did_and_how_long_it_took(demo: Demo) -> None:
    ended = [line for line in demo.output.splitlines() if line.startswith("✓")]
    assert all(any(line.startswith(f"✓ {step}") for line in ended) for step in STEPS)
    assert all(line.rstrip().endswith(" s)") for line in ended)


def test_a_killed_demo_had_not_ended(demo: Demo) -> None:
    assert all("Done in" not in output for output in demo.killed)


def test_the_next_run_takes_up_what_a_killed_one_had_trained(demo: Demo) -> None:
    assert demo.output.count("(trained before)") >= 3


def test_the_next_run_imports_nothing_again(demo: Demo) -> None:
    assert "the graph already holds all of it" in demo.output


def test_it_ends_with_ten_films_with_titles_and_reasons(demo: Demo) -> None:
    table = demo.output.split("MKR recommends to user 42")[1].split("similar to Star Wars")[0]
    rows = [line for line in table.splitlines() if re.match(r"│ +\d+ │", line)]
    assert len(rows) == 10
    assert all(" — " in row for row in rows)
    assert sum(" — Person " in row for row in rows) >= 5  # a person with a name


def test_no_screen_shows_the_key_of_a_node_without_a_name(demo: Demo, demo_graph: Graph) -> None:
    keys = demo_graph.query(
        "MATCH (n) WHERE n.name IS NULL AND n.title IS NULL AND n.id =~ '[mg][.].*' RETURN n.id AS id"
    )
    assert len(keys) > 30_000
    screens = [demo.output, *demo.killed]
    for words in (("recommend", "7", "--model", "KGCN"), ("recommend", "100"), ("recommend", "42", "--live")):
        result = demo.kgplug(*words)
        assert result.returncode == 0, result.stderr
        screens.append(result.stdout)
    for screen in screens:
        assert not BARE_ID.search(screen)
        assert not set(re.findall(r"[mg]\.\w+", screen)) & set(keys["id"])


def test_a_graph_that_an_earlier_version_imported_gets_the_names(demo: Demo, demo_graph: Graph) -> None:
    folder = demo.home / "downloads" / DEMO.name
    named = "MATCH (n:Person) WHERE n.name IS NOT NULL RETURN count(n) AS n"
    before = demo_graph.query(named)["n"].iloc[0]
    assert before > 1_500 and _is_imported(demo_graph, folder)
    demo_graph.connection.write("MATCH (n:Person) REMOVE n.name")
    assert not _is_imported(demo_graph, folder)
    assert demo.kgplug("import", "movielens-100k").returncode == 0
    assert demo_graph.query(named)["n"].iloc[0] == before and _is_imported(demo_graph, folder)


def test_the_demo_explains_its_metrics_with_their_values(demo: Demo) -> None:
    text = " ".join(demo.output.split())
    mrr = re.search(r"TransE │ ([\d.]+) │", text)
    assert mrr is not None
    assert f"MRR is the mean of 1 / rank of the right one: {mrr[1]}. A perfect order gives 1, guessing 0.0003." in text
    assert "TransE ranks all 35,010 entities" in text
    assert re.search(r"(MKR|KGCN|ItemKNN) scores the liked one higher in 9\d% of such pairs", text)


def test_no_password_is_printed(demo: Demo) -> None:
    password = json.loads(demo.kgplug("db", "path", "--json").stdout)["password"]
    assert Path(password).read_text().strip() not in "".join([demo.output, *demo.killed])


def test_the_graph_holds_the_whole_data_set_once(demo_graph: Graph) -> None:
    counts = demo_graph.query(
        "MATCH (u:User) WITH count(u) AS users MATCH (m:Movie) WITH users, count(m) AS movies "
        "MATCH ()-[r:RATED]->() RETURN users, movies, count(r) AS ratings"
    )
    assert counts.iloc[0].to_dict() == {"users": 943, "movies": 1682, "ratings": 100_000}


@pytest.mark.parametrize("model", [name for name in PUBLISHED if name != "TransE"])
def test_every_user_has_one_whole_list_of_unseen_films(demo_graph: Graph, model: str) -> None:
    lists = demo_graph.query(
        "MATCH (u:User)-[r:RECOMMENDS {model: $model}]->(m:Movie) "
        "RETURN u.id AS user, collect(r.rank) AS ranks, count(DISTINCT r.run) AS runs, "
        "count(DISTINCT m) AS films, sum(COUNT { (u)-[:RATED]->(m) }) AS seen",
        model=model,
    )
    assert len(lists) == 943
    assert all(sorted(ranks) == list(range(1, 11)) for ranks in lists["ranks"])
    assert set(lists["runs"]) == {1}
    assert set(lists["films"]) == {10}
    assert set(lists["seen"]) == {0}


def test_one_run_of_each_model_serves(demo_graph: Graph) -> None:
    serving = demo_graph.query(
        "MATCH (m:KgplugModel)-[:SERVES]->(r:KgplugRun {number: m.serves}) RETURN m.name AS name, r.status AS status"
    )
    assert sorted(serving["name"]) == sorted(PUBLISHED)
    assert set(serving["status"]) == {"serving"}


def test_kgplugs_own_edges_are_not_read_back(demo_graph: Graph) -> None:
    knowledge = demo_graph.read_knowledge(demo_graph.schema)
    assert "RECOMMENDS" not in set(knowledge.relations)
    assert len(demo_graph.read_interactions(demo_graph.schema)) == 100_000


@pytest.mark.parametrize("name", [name for name in queries.names() if not name.startswith(("load_", "schema"))])
def test_each_shipped_query_gives_rows_on_the_demo_graph(demo_graph: Graph, name: str) -> None:
    item = demo_graph.query("MATCH (:User {id: 42})-[:RECOMMENDS {model: 'MKR', rank: 1}]->(m) RETURN m.id AS id")
    parameters = {"user": 42, "item": int(item["id"].iloc[0]), "model": "MKR", "k": 5}
    if name == "predict_links":
        parameters |= {"model": "TransE", "relation": "IN_FREEBASE_GENRE", "label": "FreebaseGenre"}
    assert len(demo_graph.cypher(name, **parameters)) > 0


def test_recommend_prints_titles_in_order(demo: Demo) -> None:
    result = demo.kgplug("recommend", "42", "--model", "MKR", "--k", "3", "--json")
    assert result.returncode == 0, result.stderr
    rows = json.loads(result.stdout)
    assert [row["rank"] for row in rows] == [1, 2, 3]
    assert all(isinstance(row["title"], str) and row["title"] for row in rows)


def test_recommending_to_an_unknown_user_is_refused_in_one_sentence(demo: Demo) -> None:
    result = demo.kgplug("recommend", "99999999")
    assert result.returncode == 2
    assert result.stderr.startswith("Error: ") or "\nError: " in result.stderr
    assert "99999999" in result.stderr
    assert "Traceback" not in result.stderr


def test_similar_films_share_something_with_the_film(demo: Demo) -> None:
    result = demo.kgplug("similar", "50", "--model", "TransE", "--k", "5", "--json")
    assert result.returncode == 0, result.stderr
    titles = [row["title"] for row in json.loads(result.stdout)]
    assert {"The Empire Strikes Back", "Return of the Jedi"} & set(titles)


def test_evaluate_gives_one_row_a_model(demo: Demo) -> None:
    result = demo.kgplug("evaluate", "MKR", "Popularity", "--k", "5", "--json")
    assert result.returncode == 0, result.stderr
    rows = json.loads(result.stdout)
    assert len(rows) == 2
    assert all({"AUC", "ACC", "precision@5", "recall@5", "F1@5", "NDCG@5", "hit@5"} <= set(row) for row in rows)


def test_publishing_the_same_run_again_changes_nothing(demo: Demo, demo_graph: Graph) -> None:
    edges = (
        "MATCH (u:User)-[r:RECOMMENDS {model: 'KGCN'}]->(m) "
        "RETURN count(r) AS n, sum(r.rank * m.id * u.id) AS checksum, collect(DISTINCT r.run) AS runs"
    )
    before = demo_graph.query(edges)
    result = demo.kgplug("publish", "KGCN")
    assert result.returncode == 0, result.stderr
    assert demo_graph.query(edges).equals(before)


def test_a_damaged_run_is_refused_and_the_graph_stays(demo: Demo, demo_graph: Graph, tmp_path: Path) -> None:
    runs = json.loads(demo.kgplug("runs", "--json").stdout)
    run = next(row["run"] for row in runs if row["model"] == "MKR")
    arrays = demo.home / "runs" / run / "arrays.safetensors"
    whole = arrays.read_bytes()
    count = "MATCH ()-[r:RECOMMENDS]->() RETURN count(r) AS n"
    before = demo_graph.query(count)["n"].iloc[0]
    try:
        arrays.write_bytes(whole[: len(whole) // 2])
        result = demo.kgplug("publish", run)
    finally:
        arrays.write_bytes(whole)
    assert result.returncode == 1
    assert "truncated or altered" in result.stderr
    assert "Traceback" not in result.stderr
    assert demo_graph.query(count)["n"].iloc[0] == before
