"""CKCF: neighbours by feedback and neighbours by the graph, two lists fused into one."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field
from scipy import sparse

from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.recommenders.base import FitOptions
from kgplug.recommenders.fusion import fuse
from kgplug.recommenders.two_neighbourhoods import TwoNeighbourhoods, TwoNeighbourhoodsConfig


class CKCFConfig(TwoNeighbourhoodsConfig):
    """Settings of CKCF.

    The paper has 20 neighbours and cf_share=0.5 (its ratio 5:5); its lists hold only books near to a liked one
    (back_fill="none"), and its data only books with an entity (linked_only=True).
    """

    back_fill: Literal["popularity", "none"] = Field(
        "popularity", description="order of the items that are near to no like; without one they all score 0"
    )


class CKCF(TwoNeighbourhoods):
    """Item-CF and the semantic neighbours of TransE, fused by "high replaces low".

    Each like brings its nearest items by penalised co-occurrence (`co_occurrence`) and by the cosine of their
    entities' vectors (`nearest_vectors`, which raises new items). Each kind makes a ranked list without the seen
    items, and `fuse` makes one of both. The lists of N = 1, 2, 3, … places nest, so `recommend` for k gives the
    paper's list of N = k for every k. The score is 1 / place. Below stand the items of neither list, by
    their likes, and the user's seen items are among these. `also_seen` is dropped after the fusion.

    Source: Zhou et al., CKCF ("collaborative knowledge-aware" item-CF with TransE on Book-Crossing), whose formulas
    survive as prose (about 2020): what it leaves open is a setting. Fusion in one nested ranking: ours.

    Attributes:
        base: float32 (n_items,), scores of the items that stand in no list.
    """

    name = "CKCF"
    config_class = CKCFConfig
    config: CKCFConfig
    base: np.ndarray

    def _fit(
        self,
        interactions: Interactions,
        knowledge: KnowledgeGraph | None,
        valid: Interactions | None,
        seed: int,
        options: FitOptions,
    ) -> None:
        super()._fit(interactions, knowledge, valid, seed, options)
        likes, n = np.bincount(interactions.likes().items, minlength=interactions.n_items), interactions.n_items
        share = likes / (likes.max() + 1) if self.config.back_fill == "popularity" else np.zeros(n)
        self.base = (share / (n + 1)).astype(np.float32)  # below 1 / n, the last place there can be

    def _score_block(self, users: np.ndarray) -> np.ndarray:
        lists = [self._ranked(similarity, users) for similarity in (self.cf, self.semantic)]
        fused = fuse(*lists, share=self.config.cf_share)  # (b, at most both lists)
        scores = np.tile(self.base, (len(users), 1))
        rows, places = np.nonzero(fused >= 0)
        scores[rows, fused[rows, places]] = 1 / (places + 1)
        return scores

    def _ranked(self, similarity: sparse.csr_matrix, users: np.ndarray) -> np.ndarray:
        """Return unseen candidates, best first: int64 (b, longest list), -1 past a list's end."""
        found = self.candidates(similarity, users)
        found = sparse.csr_matrix(found - found.multiply(self.seen[users]))
        found.eliminate_zeros()
        row = np.repeat(np.arange(len(users)), np.diff(found.indptr))
        order = np.lexsort((found.indices, np.negative(found.data), row))  # equal ones by item number
        ranked = np.full((len(users), int(np.diff(found.indptr).max(initial=0))), -1, dtype=np.int64)
        ranked[row, np.arange(len(row)) - found.indptr[row]] = found.indices[order]
        return ranked

    def _arrays(self) -> dict[str, np.ndarray]:
        return {"base": self.base, **super()._arrays()}

    def _restore(self, arrays: dict[str, np.ndarray]) -> None:
        super()._restore(arrays)
        self.base = arrays["base"]
