"""The correction of the film links, against an independent source of titles."""

from __future__ import annotations

import re
import unicodedata
from importlib import resources

import pandas as pd

from kgplug.data.sources.movielens_100k import fetch
from kgplug.settings import Settings
from tests.converters import shared_data


def words(title: str) -> set[str]:
    """The words of a title and of its other names in brackets, without accents."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", title.lower()) if not unicodedata.combining(c))
    return set(re.findall(r"[a-z0-9]+", plain)) - {"the", "a", "an", "of", "and", "la", "le", "les", "il"}


def test_linked_films_have_the_same_title_and_year_in_the_later_release() -> None:
    later = pd.read_csv(shared_data("movies-neo4j") / "movies.csv.xz", dtype={"movieId": int}).set_index("movieId")
    films = pd.read_csv(fetch(Settings().downloads_dir) / "nodes" / "Movie.csv").set_index("id:int")
    with resources.files("kgplug.data.sources").joinpath("movielens_100k_ids.csv").open(encoding="utf-8") as file:
        pairs = pd.read_csv(file)
    assert pairs["item"].is_unique
    assert len(pairs) == films["freebase"].notna().sum() == 1_333
    known = pairs[pairs["release_id"].isin(later.index)]
    assert len(known) > 1_300
    titles = zip(films.loc[known["item"], "title"], later.loc[known["release_id"], "title"], strict=True)
    different = [pair for pair in titles if not words(pair[0]) & words(pair[1])]
    assert different == [("Aiqing wansui", "Vive L'Amour (Ai qing wan sui)")]  # the same Chinese title
    years = (
        films.loc[known["item"], "year:int"].to_numpy()
        - later.loc[known["release_id"], "released"].str[:4].astype(float).to_numpy()
    )
    assert (abs(pd.Series(years).dropna()) <= 1).mean() > 0.97
