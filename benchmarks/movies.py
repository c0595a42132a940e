"""MovieLens small (610 users) with films' cast, directors and genres as a graph, from two CSV files.

The files are `movies.csv` (movieId, title, actors, director, genres; several names in a cell are separated by "|") and
`ratings.csv` (userId, movieId, rating), from the folder movies of https://github.com/tomasonjo/blog-datasets.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph

RELATIONS = {"actors": "ACTED_IN", "director": "DIRECTED", "genres": "IN_GENRE"}


def read(folder: Path) -> tuple[Interactions, KnowledgeGraph]:
    """Return the ratings, with the films' titles, and the graph.

    Ratings of films that are missing in movies.csv are left out. A like has at least 4 stars. A film's key is "film:"
    and its movieId. Actors and directors with the same name are one person.
    """
    movies, ratings = (_table(folder, name) for name in ("movies", "ratings"))
    movies["film"], ratings["film"] = "film:" + movies["movieId"], "film:" + ratings["movieId"]
    ratings = ratings[ratings["film"].isin(movies["film"])].astype({"rating": float})
    triples = []
    for column, relation in RELATIONS.items():
        pairs = movies[["film", column]].assign(name=movies[column].str.split("|")).explode("name")
        names = pairs["name"].str.strip()
        kind = "genre:" if column == "genres" else "person:"
        found = pd.DataFrame({"head": pairs["film"], "relation": relation, "tail": kind + names})
        triples.append(found[names != ""])
    feedback = Interactions.from_dataframe(ratings, user="userId", item="film", rating="rating", like_threshold=4)
    titles = dict(zip(movies["film"], movies["title"], strict=True))
    graph = KnowledgeGraph.from_dataframe(pd.concat(triples).drop_duplicates())
    return feedback.with_texts({film: titles[film] for film in feedback.item_keys}), graph


def _table(folder: Path, name: str) -> pd.DataFrame:
    for ending in (".csv", ".csv.xz"):
        if (folder / f"{name}{ending}").exists():
            return pd.read_csv(folder / f"{name}{ending}", dtype=str, keep_default_na=False)
    raise SystemExit(f"No {name}.csv in {folder}: name the folder that holds it.")
