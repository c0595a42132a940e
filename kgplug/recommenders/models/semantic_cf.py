"""SemanticCF: a score from item similarity in the feedback plus one from item similarity in an embedding."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field
from scipy import sparse

from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.recommenders.catalogue import RECOMMENDERS
from kgplug.recommenders.parts.pretrained import ItemEntities
from kgplug.recommenders.parts.relational import relational_vectors
from kgplug.recommenders.parts.two_neighbourhoods import TwoNeighbourhoods, TwoNeighbourhoodsConfig


class SemanticCFConfig(TwoNeighbourhoodsConfig):
    """Settings of SemanticCF. `embedding` is any PyKEEN model, such as "TransR" or "RotatE", or a run of such a model.

    The defaults that differ from CKCF's were better on the validation sets of Book-Crossing and MovieLens-100K.
    """

    compare: Literal["own", "relations", "mean"] = Field(
        "own",
        description='vectors of an item to compare: "own": the item\'s own; "relations": one per relation of the item; '
        '"mean": the sum of these',
    )
    translate: bool = Field(
        True, description="whether a triple (item, r, t) adds t − r to the item's vector for relation r; False: only t"
    )
    relations: int = Field(
        16,
        ge=1,
        description="maximum number of relations to compare (each direction counts as one); those with the most items "
        "are used",
    )
    hot_exponent: float = Field(
        0.2,
        ge=0,
        le=1,
        description="the CF similarity of two items is divided by (n₁ · n₂) to this power, where n₁ and n₂ are their "
        "numbers of users",
    )
    cold_boost: Literal["printed", "midpoint", "none"] = Field(
        "none",
        description="which similarities of an item to new items are raised: those above the sum of its largest and "
        'smallest similarity ("printed"), those above half of this sum ("midpoint"), or none',
    )
    cf_share: float = Field(0.8, ge=0, le=1, description="weight of collaborative filtering; the graph has the rest")


class SemanticCF(TwoNeighbourhoods):
    """Item-CF plus the similarity of any PyKEEN model's vectors: score = s · cf / max cf + (1 − s) · kg / max kg.

    cf and kg are an item's summed similarities to the user's likes: cf by co-occurrence, kg by the cosine of vectors.
    Both similarities are those of CKCF. max is over all items, for one user; s is `cf_share`. With
    back_fill="popularity", 1 is added to the score of items near a like, and all other items score below 1, ordered by
    number of likes.

    Source: item-CF plus the similarity of TransE or its successors (TransX + CF), a baseline of RKGE-CF and CKCF
    (Zhou et al.; TransE: A. Bordes et al., "Translating Embeddings for Modeling Multi-relational Data", 2013).
    """

    name = "SemanticCF"
    inputs = RECOMMENDERS["SemanticCF"].inputs
    config_class = SemanticCFConfig
    config: SemanticCFConfig

    def _compared(self, entities: ItemEntities, knowledge: KnowledgeGraph) -> np.ndarray:
        c = self.config
        if c.compare == "own":
            return entities.vectors
        return relational_vectors(
            entities, knowledge, mean=c.compare == "mean", translate=c.translate, relations=c.relations
        )

    def _score_block(self, users: np.ndarray) -> np.ndarray:
        return self._score_new_users(self.likes[users])

    def _score_new_users(self, likes: sparse.csr_matrix) -> np.ndarray:
        share = self.config.cf_share
        cf, kg = (_scaled(self.candidates(similarity, likes)) for similarity in (self.cf, self.semantic))
        scores = (cf * share + kg * (1 - share)).toarray().astype(np.float32, copy=False)  # (b, n_items)
        return scores if self.config.back_fill == "none" else np.where(scores > 0, 1 + scores, self.base)


def _scaled(found: sparse.csr_matrix) -> sparse.csr_matrix:
    """Divide each row of a matrix of positive values by its largest value: CSR (b, n) → CSR (b, n)."""
    largest = found.max(axis=1).toarray()[:, 0]
    return sparse.csr_matrix(sparse.diags(1 / np.where(largest > 0, largest, 1).astype(np.float32)) @ found)
