"""The names of the demo's people: only unambiguous matches, in a table that fits the data."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from kgplug.data.sources._movielens_tables import MovieLens

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "benchmarks"))

import demo_names  # noqa: E402


def data(acted: list[tuple[str, int]], directed: list[tuple[str, int]]) -> MovieLens:
    """People and their films, in two roles."""
    frames = {
        ("Person", type_, "Movie"): pd.DataFrame(facts, columns=["person", "movie"])
        for type_, facts in (("ACTED_IN", acted), ("DIRECTED", directed))
    }
    return MovieLens({}, frames)


def films(**cells: tuple[str, str]) -> pd.DataFrame:
    """The casts and directors of films: f1=("Ann|Bob", "Cem") …"""
    index = [int(name[1:]) for name in cells]
    return pd.DataFrame(list(cells.values()), columns=["actors", "director"], index=pd.Index(index, name="id:int"))


def test_an_actor_is_matched_if_the_films_fit_exactly_one_id() -> None:
    acted = [("a", 1), ("a", 2), ("a", 3), ("b", 1), ("b", 4), ("c", 2)]
    assert demo_names.people(data(acted, []), films(f1=("Ann|Bob", ""), f2=("Ann", ""), f4=("Bob", ""))) == {
        "a": "Ann",
        "b": "Bob",
    }


def test_an_actor_is_not_matched_if_two_ids_fit_or_two_names_fit() -> None:
    two_ids = [("a", 1), ("a", 2), ("b", 1), ("b", 2)]
    assert demo_names.people(data(two_ids, []), films(f1=("Ann", ""), f2=("Ann", ""))) == {}
    assert demo_names.people(data(two_ids[:2], []), films(f1=("Ann|Bob", ""), f2=("Ann|Bob", ""))) == {}


def test_an_actor_with_one_film_is_not_matched_but_the_only_director_of_a_film_is() -> None:
    acted, directed = [("a", 1), ("b", 1)], [("d", 1), ("e", 2), ("f", 2)]
    assert demo_names.people(data(acted, directed), films(f1=("Ann", "Dan"), f2=("", "Eve"))) == {"d": "Dan"}
    one_of_two = films(f1=("Ann|Bob", ""), f2=("Bob", ""))
    assert demo_names.people(data([("a", 1), ("b", 2)], []), one_of_two) == {}


def test_a_name_that_fits_another_id_in_another_role_is_left_out() -> None:
    acted, directed = [("a", 1), ("a", 2)], [("d", 1)]
    assert demo_names.people(data(acted, directed), films(f1=("Ann", "Ann"), f2=("Ann", ""))) == {}
    directed = [("a", 1)]
    assert demo_names.people(data(acted, directed), films(f1=("Ann", "Ann"), f2=("Ann", ""))) == {"a": "Ann"}


def test_a_freebase_genre_is_named_if_its_films_are_nearly_those_of_one_genre() -> None:
    own = pd.DataFrame([(film, "War") for film in range(10)] + [(film, "Love") for film in range(20, 30)])
    freebase = [(film, "g1") for film in range(9)] + [(film, "g2") for film in range(20, 25)]
    freebase += [(film, "g3") for film in range(24, 30)]
    frames = {
        ("Movie", "IN_GENRE", "Genre"): own,
        ("Movie", "IN_FREEBASE_GENRE", "FreebaseGenre"): pd.DataFrame(freebase),
    }
    assert demo_names.genres(MovieLens({}, frames)) == {"g1": "War"}  # g2 and g3 both have half of Love


def test_the_table_is_sorted_and_has_one_name_per_id() -> None:
    table = pd.read_csv(demo_names.TABLE, keep_default_na=False)
    assert table.columns.tolist() == ["id", "name"]
    assert table["id"].is_monotonic_increasing and table["id"].is_unique
    assert table["id"].str.fullmatch(r"[mg]\.\w+").all()
    assert (table["name"].str.strip() == table["name"]).all() and (table["name"] != "").all()
    assert len(table) > 1_500
    known = dict(table.itertuples(index=False))
    assert (known["m.0bxtg"], known["m.0c0k1"], known["m.09c7w0"]) == ("Tom Hanks", "Harrison Ford", "United States")
