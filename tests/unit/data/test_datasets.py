"""MovieLens-100K: what the wheel's files become, and a download that can go wrong."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from kgplug.data.sources import csv_folder, downloads, movielens_100k
from kgplug.data.sources._movielens_tables import natural_title, read_movielens
from kgplug.data.sources.movielens_100k import WHEEL, fetch, read_arrays
from kgplug.errors import DataError

MEMBERS = {
    "item": "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    "1\tToy Story\t1995\tAnimation Children's Comedy\n"
    "2\tGoldenEye\t1995\tAction Thriller\n"
    "267\tunkonwn\tunkonwn\tunknown\n"
    "1412\tLand Before Time III (1995)\tV\tAnimation\n",
    "user": "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n7\t24\tM\twriter\t85711\n",
    "inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n7\t2\t3\t881250949\n7\t1\t5\t881250950\n",
    # GoldenEye is film 2 here and 10 in the later releases, whose ids the link file uses
    "link": "item_id:token\tentity_id:token\n1\tm.toy\n10\tm.golden\n2\tm.jumanji\n",
    "kg": "head_id:token\trelation_id:token\ttail_id:token\n"
    "m.toy\tfilm.film.actor\tm.hanks\n"
    "m.golden\tfilm.film.directed_by\tm.hanks\n"
    "m.hanks\tfilm.director.film\tm.golden\n"
    "m.jumanji\tfilm.film.sequel\tm.toy\n"
    "m.toy\tfilm.film.prequel\tm.jumanji\n"
    "m.toy\tfilm.film.genre\tm.scifi\n"
    "m.scifi\tfilm.film_genre.films_in_this_genre\tm.toy\n"
    "m.golden\tfilm.film.subjects\tm.hanks\n",
}


def write_wheel(path: Path, members: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for ending, text in members.items():
            archive.writestr(f"recbole/dataset_example/ml-100k/ml-100k.{ending}", text)
    return path


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small wheel that stands for the real one, in the downloads folder."""
    path = write_wheel(tmp_path / WHEEL.file_name, MEMBERS)
    monkeypatch.setattr(movielens_100k, "WHEEL", replace(WHEEL, sha256=hashlib.sha256(path.read_bytes()).hexdigest()))
    return path


def rows(frame: pd.DataFrame) -> list[tuple]:
    return sorted(frame.itertuples(index=False, name=None))


def test_freebase_facts_become_readable_relationships_each_once(wheel: Path) -> None:
    data = read_movielens(zipfile.ZipFile(wheel))
    facts = {names: rows(frame) for names, frame in data.relationships.items()}
    assert facts == {
        ("User", "RATED", "Movie"): [(7, 1, 5.0, 881250950), (7, 2, 3.0, 881250949)],
        ("Movie", "IN_GENRE", "Genre"): [
            (1, "Animation"),
            (1, "Children's"),
            (1, "Comedy"),
            (2, "Action"),
            (2, "Thriller"),
            (1412, "Animation"),
        ],
        ("Person", "ACTED_IN", "Movie"): [("m.hanks", 1)],
        ("Person", "DIRECTED", "Movie"): [("m.hanks", 2)],
        ("Movie", "SEQUEL_OF", "OtherFilm"): [(1, "m.jumanji")],
        ("Movie", "IN_FREEBASE_GENRE", "FreebaseGenre"): [(1, "m.scifi")],
        ("Movie", "ABOUT", "Person"): [(2, "m.hanks")],
    }


def test_a_person_is_one_node_with_a_label_for_each_role(wheel: Path) -> None:
    people = read_movielens(zipfile.ZipFile(wheel)).nodes["Person"]
    assert rows(people) == [("m.hanks", "Actor;Director;Subject")]


def test_people_in_the_table_of_names_have_a_name_and_others_only_their_id(tmp_path: Path) -> None:
    members = {**MEMBERS, "kg": f"{MEMBERS['kg']}m.toy\tfilm.film.actor\tm.0bxtg\nm.toy\tfilm.film.actor\tm.extra\n"}
    people = read_movielens(zipfile.ZipFile(write_wheel(tmp_path / "wheel", members))).nodes["Person"]
    assert people[["id", "name"]].to_numpy().tolist() == [["m.0bxtg", "Tom Hanks"], ["m.extra", ""], ["m.hanks", ""]]


def test_films_are_linked_by_the_ids_that_the_link_file_really_uses(wheel: Path) -> None:
    films = read_movielens(zipfile.ZipFile(wheel)).nodes["Movie"].set_index("id:int")
    assert films["freebase"].to_dict() | {267: None, 1412: None} == {1: "m.toy", 2: "m.golden", 267: None, 1412: None}
    assert films["title"].tolist() == ["Toy Story", "GoldenEye", "unknown", "Land Before Time III"]
    assert films["year:int"].fillna(0).tolist() == [1995, 1995, 0, 1995]


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Godfather, The", "The Godfather"),
        ("Fish Called Wanda, A", "A Fish Called Wanda"),
        ("Double vie, La (Double Life, The)", "La Double vie (The Double Life)"),
        ("Enfer, L'", "L'Enfer"),
        ("Mrs. Brown (Her Majesty, Mrs. Brown)", "Mrs. Brown (Her Majesty, Mrs. Brown)"),
        ("Sex, Lies, and Videotape", "Sex, Lies, and Videotape"),
        ("Corrina, Corrina", "Corrina, Corrina"),
    ],
)
def test_articles_move_to_the_front(title: str, expected: str) -> None:
    assert natural_title(title) == expected


def test_arrays_hold_the_same_as_the_files(wheel: Path) -> None:
    interactions, knowledge = read_arrays(wheel.parent)
    assert rows(interactions.to_dataframe()) == [(7, 1, 5.0, 881250950), (7, 2, 3.0, 881250949)]
    assert interactions.item_keys.tolist() == [1, 2, 267, 1412]
    assert interactions.likes().to_dataframe()["item"].tolist() == [1]
    assert knowledge.n_triples == 11
    assert knowledge.entities_of([1, 2], label="Movie").min() >= 0
    assert (1, "SEQUEL_OF", "m.jumanji") in set(knowledge.to_dataframe().itertuples(index=False, name=None))


def test_the_folder_is_written_once_and_again_when_it_was_altered(wheel: Path) -> None:
    folder = fetch(wheel.parent, progress=False)
    ratings = folder / "relationships" / "User-RATED-Movie.csv"
    content, written = ratings.read_bytes(), ratings.stat().st_mtime_ns
    assert fetch(wheel.parent, progress=False) == folder
    assert ratings.stat().st_mtime_ns == written
    ratings.write_bytes(content[:-20])
    (folder / "nodes" / "Stray.csv").write_text("id\n")
    fetch(wheel.parent, progress=False)
    assert ratings.read_bytes() == content
    assert not (folder / "nodes" / "Stray.csv").exists()
    assert "non-commercial" in (folder / "TERMS.txt").read_text()


def test_an_interrupted_writing_leaves_no_folder(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(folder: Path, **_: object) -> None:
        folder.mkdir()
        (folder / "half.csv").write_text("id")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(csv_folder, "write_folder", interrupted)
        fetch(wheel.parent, progress=False)
    assert [path.name for path in wheel.parent.iterdir()] == [wheel.name]
    assert fetch(wheel.parent, progress=False).is_dir()


def test_a_spoilt_download_is_fetched_again(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = wheel.read_bytes()
    wheel.write_bytes(whole[:100])
    monkeypatch.setattr(
        downloads, "_pip_download", lambda _, folder, what: (folder / WHEEL.file_name).write_bytes(whole)
    )
    read_arrays(wheel.parent)
    assert wheel.read_bytes() == whole


def test_another_file_than_expected_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        downloads, "_pip_download", lambda _, folder, what: (folder / WHEEL.file_name).write_bytes(b"other")
    )
    with pytest.raises(DataError, match="did not download the expected file"):
        read_arrays(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_without_a_network_one_sentence_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # pip itself then looks nowhere
    with pytest.raises(DataError, match=r"could not be downloaded through pip .*Check the network") as caught:
        read_arrays(tmp_path)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
