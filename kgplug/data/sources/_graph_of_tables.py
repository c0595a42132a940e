"""Triples of tables: nodes by label, and the keys at both ends of relationships."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from kgplug.data.knowledge_graph import KnowledgeGraph


def graph_of_tables(
    nodes: Mapping[str, pd.DataFrame], relationships: Mapping[tuple[str, str, str], pd.DataFrame]
) -> KnowledgeGraph:
    """Return all nodes as entities, and all relationships as triples.

    Args:
        nodes: label → frame, whose first column has the keys.
        relationships: (head label, type, tail label) → frame, whose first two columns have the keys of head and tail.
    """
    keys = {label: pd.Index(frame.iloc[:, 0], dtype=object) for label, frame in nodes.items()}
    first = dict(zip(keys, np.cumsum([0, *map(len, keys.values())]), strict=False))  # index of a label's first node
    types = sorted({type_ for _, type_, _ in relationships})
    triples = [np.empty((0, 3), dtype=np.int64)]
    for (head, type_, tail), frame in relationships.items():
        ends = [
            first[label] + keys[label].get_indexer(pd.Index(frame.iloc[:, column], dtype=object))
            for column, label in enumerate((head, tail))
        ]
        triples.append(np.column_stack([ends[0], np.full(len(frame), types.index(type_)), ends[1]]))  # (n, 3)
    return KnowledgeGraph.from_arrays(
        np.concatenate([index.to_numpy(dtype=object) for index in keys.values()]),
        np.repeat(np.array(list(keys), dtype=object), [len(index) for index in keys.values()]),
        np.array(types, dtype=object),
        np.concatenate(triples),
    )
