"""DKN from the command line: its titles come from the graph, and it says what to set where there are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from kgplug.cli import app
from kgplug.data.artefact import read_content
from kgplug.errors import DataError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.server.home import Endpoint
from tests.integration.helpers.sample_graphs import FILM_KEYS, FILMS, build

pytestmark = FILM_KEYS

TRAIN = (
    *("train", "DKN", "--split", "0.6,0.2,0.2", "-s", "device=cpu", "-s", "filters=4", "-s", "epochs=2"),
    *("-s", "embedding=TransE", "-s", 'embedding_settings={"embedding_dim": 4, "epochs": 2}'),
)


@pytest.fixture
def films(connection: Connection, neo4j_server: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph of films, the server in the environment, and a home of the test's own."""
    build(connection, FILMS)
    monkeypatch.setenv("NEO4J_URI", neo4j_server.uri)
    monkeypatch.setenv("NEO4J_PASSWORD", neo4j_server.password.get_secret_value())
    monkeypatch.setenv("KGPLUG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "220")
    monkeypatch.chdir(tmp_path)


def kgplug(*arguments: str) -> Result:
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None:
        raise result.exception
    return result


def test_dkn_is_trained_evaluated_and_published_by_the_titles_that_init_found(
    films: None, connection: Connection, tmp_path: Path
) -> None:
    kgplug("init")
    assert 'title = "title"' in Path("kgplug.toml").read_text()
    kgplug(*TRAIN)
    (run,) = json.loads(kgplug("runs", "--json").stdout)
    content = read_content(tmp_path / "home" / "runs" / run["run"])
    assert content["schema"]["item"]["title"] == "title" and content["data"]["titles"]
    assert json.loads(kgplug("evaluate", "DKN", "--json").stdout)[0]["run"] == run["run"]
    kgplug("publish", "DKN", "--top", "3")
    (row,) = connection.rows("MATCH (:User)-[r:RECOMMENDS {model: 'DKN'}]->(:Movie) RETURN count(r) AS n")
    assert row["n"] == 9 * 3
    connection.write("MATCH (m:Movie {id: 2}) SET m.title = 'Another'")
    kgplug("evaluate", "DKN")  # the rows are the same, and so is the test set
    kgplug(*TRAIN)
    runs = [one["run"] for one in json.loads(kgplug("runs", "--json").stdout)]
    first, second = (read_content(tmp_path / "home" / "runs" / one) for one in runs)
    assert first["data"]["interactions"] == second["data"]["interactions"]
    assert first["data"]["titles"] != second["data"]["titles"] and first["key"] != second["key"]


def test_without_titles_the_error_names_the_setting_and_other_models_train(films: None) -> None:
    Path("kgplug.toml").write_text(
        '[feedback]\nrating = "rating"\nlike_threshold = 4\n[knowledge.keys]\nActor = "id"\n'
    )
    with pytest.raises(DataError, match=r"DKN reads titles, and none .* title under \[item\] in kgplug\.toml"):
        kgplug(*TRAIN)
    kgplug("train", "ItemKNN")
