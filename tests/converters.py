"""Turn the optional data beside the repository (../shared/data) into CSV folders of docs/import.md."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from kgplug.data.sources.csv_folder import write_folder

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


def shared_data(name: str) -> Path:
    """Return a folder of the optional data, or skip the test that needs it."""
    folder = SHARED_DATA / name
    if not folder.is_dir():
        pytest.skip(f"the optional data set ../shared/data/{name} is not there")
    return folder


def convert_movies_neo4j(folder: Path) -> None:
    """Write movies-neo4j: ratings of films that it does not describe are left out."""
    source = shared_data("movies-neo4j")
    movies = pd.read_csv(source / "movies.csv.xz", dtype=str, keep_default_na=False)
    ratings = pd.read_csv(source / "ratings.csv.xz", dtype=str)
    ratings.columns = ["user:int", "movie:int", "rating:float", "timestamp:int"]
    nodes = {
        "Movie": pd.DataFrame(
            {
                "id:int": movies["movieId"],
                "title": movies["title"],
                "released": movies["released"],
                "imdb:float": movies["imdbRating"],
            }
        ),
        "User": ratings[["user:int"]].drop_duplicates().rename(columns={"user:int": "id:int"}),
    }
    relationships = {("User", "RATED", "Movie"): ratings[ratings["movie:int"].isin(movies["movieId"])]}
    for column, type_, label in (
        ("actors", "ACTED_IN", "Actor"),
        ("director", "DIRECTED", "Director"),
        ("genres", "IN_GENRE", "Genre"),
    ):
        pairs = movies[["movieId", column]].assign(**{column: movies[column].str.split("|")}).explode(column)
        pairs = pairs[pairs[column] != ""].rename(columns={"movieId": "movie:int", column: "name"})
        nodes[label] = pairs[["name"]].drop_duplicates()
        if label == "Genre":
            relationships["Movie", type_, label] = pairs
        else:
            relationships[label, type_, "Movie"] = pairs[["name", "movie:int"]]
    write_folder(folder, nodes=nodes, relationships=relationships)


def convert_douban(folder: Path) -> None:
    """Write douban-openkg, whose files are in the form of neo4j-admin."""
    source = shared_data("douban-openkg")
    nodes, relationships = {}, {}
    for label, file in (("Movie", "Movie.csv.xz"), ("Person", "Person.csv.xz"), ("Country", "Country.csv")):
        frame = pd.read_csv(source / file, dtype=str, keep_default_na=False).drop(columns=":LABEL")
        frame = frame.rename(columns=lambda name: name.replace(":ID", "").replace(":String[]", ":string[]"))
        nodes[label] = frame[["id", *frame.columns.drop("id")]]
    for type_, tail, file in (
        ("ACTOR", "Person", "actor.csv.xz"),
        ("COMPOSER", "Person", "composer.csv"),
        ("DIRECTOR", "Person", "director.csv"),
        ("DISTRICT", "Country", "district.csv"),
    ):
        frame = pd.read_csv(source / file, dtype=str)
        frame.columns = ["movie", "other"]
        relationships["Movie", type_, tail] = frame
    write_folder(folder, nodes=nodes, relationships=relationships)
