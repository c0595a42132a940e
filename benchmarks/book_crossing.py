"""Read Book-Crossing with its Satori graph, as KGCN's authors prepared it. Other scripts here use this."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph


def read(folder: Path) -> tuple[Interactions, KnowledgeGraph]:
    """Return the likes (rows with label 1) and the graph, whose first entities are the items."""
    for ending in (".txt", ".txt.xz"):
        if (folder / f"ratings_final{ending}").exists():
            ratings = pd.read_csv(folder / f"ratings_final{ending}", sep="\t", names=["user", "item", "label"])
            triples = pd.read_csv(folder / f"kg_final{ending}", sep="\t", names=["head", "relation", "tail"])
            likes = Interactions.from_dataframe(ratings[ratings["label"] == 1], user="user", item="item")
            return likes, KnowledgeGraph.from_dataframe(triples)
    raise SystemExit(f"No ratings_final.txt in {folder}: name the folder that holds it.")
