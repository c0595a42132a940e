"""A small graph with a planted structure, and settings that train an embedding on it in a moment."""

from __future__ import annotations

import pandas as pd

from kgplug.data.knowledge_graph import KnowledgeGraph

SMALL = {"embedding_dim": 8, "epochs": 3, "batch_size": 64, "negatives": 2, "device": "cpu"}


def families(n_films: int = 40) -> KnowledgeGraph:
    """Films of two families: each shares its actors and genre with its own family only."""
    rows = []
    for film in range(n_films):
        family = film % 2
        rows += [(f"film{film}", "actor", f"actor{family}{(film // 2 + shift) % 5}") for shift in range(3)]
        rows.append((f"film{film}", "genre", f"genre{family}"))
    return KnowledgeGraph.from_dataframe(pd.DataFrame(rows, columns=["head", "relation", "tail"]))
