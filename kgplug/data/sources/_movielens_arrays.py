"""MovieLens-100K as arrays: equal to those read from the imported graph, but made without a database."""

from __future__ import annotations

import numpy as np
import pandas as pd

from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.data.sources._graph_of_tables import graph_of_tables
from kgplug.data.sources._movielens_tables import MovieLens
from kgplug.data.values.keys import factorize


def interactions_of(data: MovieLens, like_threshold: float) -> Interactions:
    """Return the ratings, with the films' titles as texts."""
    ratings = data.relationships["User", "RATED", "Movie"]
    _, user_keys = factorize(data.nodes["User"]["id:int"].to_numpy(dtype=object))
    _, item_keys = factorize(data.nodes["Movie"]["id:int"].to_numpy(dtype=object))
    interactions = Interactions.from_arrays(
        user_keys,
        item_keys,
        pd.Index(user_keys).get_indexer(pd.Index(ratings["user:int"])),
        pd.Index(item_keys).get_indexer(pd.Index(ratings["movie:int"])),
        ratings=ratings["rating:float"].to_numpy(dtype=np.float32),
        timestamps=ratings["timestamp:int"].to_numpy(dtype=np.int64),
        like_threshold=like_threshold,
        user_label="User",
        item_label="Movie",
    )
    films = data.nodes["Movie"]
    titles = dict(zip(films["id:int"], films["title"].fillna("").astype(str), strict=True))
    return interactions.with_texts(titles)


def knowledge_of(data: MovieLens) -> KnowledgeGraph:
    """Return all nodes except the users, and every relationship except RATED, as entities and triples."""
    nodes = {label: frame for label, frame in data.nodes.items() if label != "User"}
    return graph_of_tables(nodes, {names: frame for names, frame in data.relationships.items() if names[1] != "RATED"})
