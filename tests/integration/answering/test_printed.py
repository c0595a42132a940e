"""Every command against a real graph: JSON that a strict parser reads, and lines that fit every encoding, unbroken."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from kgplug.graph.bolt.connection import Connection
from kgplug.graph.server.home import Endpoint
from tests.integration.helpers.sample_graphs import FILM_KEYS, FILMS, build
from tests.unit.helpers.printed import Printed, printed
from tests.unit.helpers.strictly import strictly

pytestmark = FILM_KEYS

TITLE = "Амели → “千と千尋” naïve/unbreakable-title-of-a-film-that-is-longer-than-eighty-columns-of-a-terminal 2629/838"
SMALL = ("-s", "embedding_dim=8", "-s", "epochs=2", "-s", "device=cpu", "--split", "0.6,0.2,0.2")


def done(*words: str, encoding: str = "utf-8", columns: int | None = None) -> Printed:
    result = printed(*words, encoding=encoding, columns=columns)
    assert result.code == 0, (words, result)
    return result


@pytest.fixture
def served(
    connection: Connection, neo4j_server: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A graph with an odd title, three runs, two of them published; the user's folder."""
    build(connection, FILMS)
    connection.write("MATCH (m:Movie) SET m.title = $title + ' ' + m.id", title=TITLE)
    monkeypatch.setenv("NEO4J_URI", neo4j_server.uri)
    monkeypatch.setenv("NEO4J_PASSWORD", neo4j_server.password.get_secret_value())
    monkeypatch.setenv("KGPLUG_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    done("init")
    done("train", "ItemKNN", "--split", "0.6,0.2,0.2")
    done("train", "MF", *SMALL)
    done("train", "TransE", *SMALL)
    done("publish", "ItemKNN", "-k", "3")
    done("publish", "TransE")
    yield tmp_path


def test_all_json_parses_strictly(served: Path) -> None:
    (served / "more" / "nodes").mkdir(parents=True)
    (served / "more" / "nodes" / "Town.csv").write_text("id:int,name\n1,Å\n")
    for words in (
        ("models",), ("runs",), ("check",), ("cypher",), ("cypher", "recommend"), ("db", "path"),
        ("cypher", "health", "--run"), ("evaluate", "ItemKNN", "TransE", "-k", "3", "--beyond"),
        ("recommend", "1"), ("recommend", "1", "--live"), ("similar", "1", "--model", "TransE"),
        ("predict", "TransE", "--relation", "ACTED_IN", "-k", "3", "--write"), ("diff", "ItemKNN", "MF", "-k", "3"),
        ("train", "Popularity"), ("compare", "Popularity", "ItemKNN"),
        ("tune", "TransE", "--trials", "2", "--epochs", "1", "-s", "device=cpu", "--split", "0.6,0.2,0.2"),
        ("train", "ItemKNN", "--seed", "1"), ("publish", "ItemKNN", "--dry-run"), ("publish", "ItemKNN"),
        ("rollback", "ItemKNN"), ("import", "more"), ("unpublish", "TransE"), ("erase-user", "2"),
    ):  # fmt: skip
        assert strictly(done(*words, "--json").out) is not None, words
    for written in Path("home").rglob("*.json"):
        strictly(written.read_text(encoding="utf-8"))
    assert list(Path("home/runs").glob("itemknn-*/evaluation.json"))


def test_rows_are_whole_in_a_pipe_on_a_narrow_terminal_and_in_any_encoding(served: Path) -> None:
    words = ("recommend", "1")
    (titled, *_) = rows = [line for line in done(*words).out.splitlines() if "Амели → “千と千尋”" in line]
    assert "unbreakable-title-of-a-film-that-is-longer-than-eighty-columns-of-a-terminal 2629/838" in titled
    assert len(rows) == 3
    for columns in (20, 80):
        shown = done(*words, columns=columns).out
        assert shown.count(TITLE) >= 3 and re.search(r"^title: Амели", shown, re.MULTILINE)
    for encoding in ("ascii", "latin-1", "cp1252"):
        for other in (("similar", "1", "--model", "TransE"), ("check",), ("evaluate", "ItemKNN")):
            assert done(*other, encoding=encoding).out
        assert "unbreakable-title" in done(*words, encoding=encoding).out
        assert strictly(done(*words, "--json", encoding=encoding).out)[0]["title"].startswith(TITLE)
    hint = next(line for line in done("train", "Popularity").out.splitlines() if line.startswith("Next: "))
    assert re.fullmatch(r"Next: `kgplug evaluate popularity-\S+`, `kgplug publish popularity-\S+`\.", hint)
