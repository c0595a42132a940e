"""A folder of CSV files as arrays."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from kgplug.data.sources.csv_arrays import read_arrays
from kgplug.data.sources.csv_folder import write_folder
from kgplug.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_folder(
        tmp_path,
        nodes={
            "User": pd.DataFrame({"id:int": [10, 2, 7]}),
            "Film": pd.DataFrame({"key": ["b", "a", "c"], "title": ["Bee", "", "Sea"]}),
            "Genre": pd.DataFrame({"name": ["war", "a"]}),
        },
        relationships={
            ("User", "SAW", "Film"): pd.DataFrame({"u:int": [7, 2], "f": ["a", "b"], "stars:float": [4.5, 1]}),
            ("Film", "IN", "Genre"): pd.DataFrame({"f": ["a", "b"], "g": ["a", "war"]}),
            ("User", "KNOWS", "User"): pd.DataFrame({"a:int": [7], "b:int": [2]}),
        },
    )
    return tmp_path


def test_feedback_keeps_keys_ratings_and_titles(folder: Path) -> None:
    rows, _ = read_arrays(
        folder, user="User", item="Film", feedback="SAW", title="title", rating="stars", like_threshold=4
    )
    assert rows.user_keys.tolist() == [2, 7, 10]
    assert rows.item_keys.tolist() == ["a", "b", "c"]
    assert rows.item_texts is not None
    assert rows.item_texts.tolist() == ["", "Bee", "Sea"]
    frame = rows.to_dataframe()
    assert frame.iloc[:, :3].to_numpy().tolist() == [[2, "b", 1.0], [7, "a", 4.5]]
    assert rows.is_like.tolist() == [False, True]


def test_triples_join_all_nodes_but_users(folder: Path) -> None:
    _, graph = read_arrays(folder, user="User", item="Film", feedback="SAW")
    named = [
        (graph.entity_labels[h], graph.entity_keys[h], graph.relations[r], graph.entity_labels[t], graph.entity_keys[t])
        for h, r, t in graph.triples
    ]
    assert sorted(named) == [("Film", "a", "IN", "Genre", "a"), ("Film", "b", "IN", "Genre", "war")]
    assert "User" not in graph.entity_labels


def test_without_a_rating_every_row_is_a_like(folder: Path) -> None:
    rows, _ = read_arrays(folder, user="User", item="Film", feedback="SAW", like_threshold=4)
    assert rows.is_like.all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"feedback": "RATED"}, "no relationships/User-RATED-Film.csv .* relationships/User-SAW-Film.csv"),
        ({"rating": "points"}, "User-SAW-Film.csv has no column points. Columns: u, f, stars"),
        ({"title": "name"}, "nodes/Film.csv has no column name. Columns: key, title"),
    ],
)
def test_what_is_missing_is_named(folder: Path, arguments: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_arrays(folder, **{"user": "User", "item": "Film", "feedback": "SAW", **arguments})


def test_a_bad_row_is_refused_as_by_the_import(folder: Path) -> None:
    with (folder / "relationships" / "User-SAW-Film.csv").open("a") as file:
        file.write("7,zzz,5\r\n")
    with pytest.raises(DataError, match=r"User-SAW-Film.csv, line 4.*zzz"):
        read_arrays(folder, user="User", item="Film", feedback="SAW")
