"""The graph of KGCN in DGL. DGL samples neighbours, and sums vectors by message passing on blocks.

The graph is heterogeneous: its edges are the likes and the triples of the knowledge graph.

This is the only module that imports dgl. Before that, it replaces `dgl.graphbolt` by an empty module, because the real
one is not used here and can only be imported with the torch version that it was compiled for.
"""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportReturnType=false
from __future__ import annotations

import os
import sys
import types

import numpy as np
import torch

os.environ.setdefault("DGLBACKEND", "pytorch")
sys.modules.setdefault("dgl.graphbolt", types.ModuleType("dgl.graphbolt"))

import dgl  # noqa: E402  (after its backend is chosen)
import dgl.function as fn  # noqa: E402

from kgplug.recommenders.parts.entity_graph import EntityGraph, by_entity  # noqa: E402

FEEDBACK = ("user", "likes", "entity")
KNOWLEDGE = ("entity", "relates", "entity")


class DglEntityGraph(EntityGraph):
    """`EntityGraph` on a DGL heterograph, with the same arguments and results."""

    def __init__(
        self,
        triples: np.ndarray,
        likes: tuple[np.ndarray, np.ndarray],
        *,
        n_users: int,
        n_entities: int,
        n_relations: int,
    ) -> None:
        super().__init__(triples, likes, n_users=n_users, n_entities=n_entities, n_relations=n_relations)
        edges = torch.from_numpy(self.edges)
        self.graph = dgl.heterograph(
            {
                FEEDBACK: (torch.from_numpy(likes[0]), torch.from_numpy(likes[1])),
                KNOWLEDGE: (edges[:, 0], edges[:, 2]),
            },
            num_nodes_dict={"user": n_users, "entity": n_entities},
        )
        self.graph.edges["relates"].data["relation"] = edges[:, 1]

    def _least(self, keys: np.ndarray, k: int) -> np.ndarray:
        knowledge = self.graph.edge_type_subgraph([KNOWLEDGE])
        knowledge.edata["key"] = torch.from_numpy(keys)
        frontier = dgl.sampling.select_topk(knowledge, k, "key", ascending=True)  # at most k in-edges per entity
        chosen = frontier.edata[dgl.EID].numpy()
        return chosen[by_entity(self.edges[chosen, 2], keys[chosen])]

    def liked(self, users: np.ndarray, entities: np.ndarray) -> np.ndarray:
        """Return, for each pair, whether the user liked the entity: int64 (n,), int64 (n,) → bool (n,)."""
        pairs = torch.from_numpy(users), torch.from_numpy(entities)
        return self.graph.has_edges_between(*pairs, etype="likes").numpy()

    def weighted_sum(self, rows: torch.Tensor, places: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Return what `EntityGraph.weighted_sum` returns, computed by message passing on a DGL block."""
        n, k = places.shape
        ends = torch.arange(0, n * k + 1, k)
        block = dgl.create_block(
            ("csc", (ends, places.reshape(-1), torch.empty(0, dtype=torch.int64))),
            num_src_nodes=len(rows),
            num_dst_nodes=n,
        )
        block.srcdata["row"] = rows
        block.edata["weight"] = weights.reshape(-1, 1)
        block.update_all(fn.u_mul_e("row", "weight", "message"), fn.sum("message", "sum"))
        return block.dstdata["sum"]


class DglSampledGraph(DglEntityGraph):
    """A graph that samples neighbours with DGL, but sums vectors with compiled loops.

    These loops are faster than building a DGL block in each step.
    """

    weighted_sum = EntityGraph.weighted_sum
