"""CKCF-relational: CKCF whose semantic similarity compares items relation by relation."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.recommenders.catalogue import RECOMMENDERS
from kgplug.recommenders.models.ckcf import CKCF, CKCFConfig
from kgplug.recommenders.parts.pretrained import ItemEntities
from kgplug.recommenders.parts.relational import relational_vectors


class CKCFRelationalConfig(CKCFConfig):
    """Settings of CKCF-relational. `benchmarks/results.py --parts switches` measures their effects.

    The defaults were chosen on validation sets. Two alternatives were no better: weighting relations by the similarity
    of items liked together, and weighting neighbours by rarity.
    """

    hot_exponent: float = Field(
        0.2,
        ge=0,
        le=1,
        description="the CF similarity of two items is divided by (n₁ · n₂) to this power, where n₁ and n₂ are their "
        "numbers of users; CKCF has 0.5",
    )
    cold_boost: Literal["printed", "midpoint", "none"] = Field(
        "none",
        description="which similarities of an item to new items are raised: those above the sum of its largest and "
        'smallest similarity ("printed", as in CKCF), those above half of this sum ("midpoint"), or none',
    )
    cf_share: float = Field(0.7, ge=0, le=1, description="weight of collaborative filtering; CKCF has 0.5")
    compare: Literal["relations", "mean", "own"] = Field(
        "relations",
        description='vectors of an item to compare: "relations": one per relation of the item; "mean": the sum of '
        'these; "own": the item\'s own, as in CKCF',
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


class CKCFRelational(CKCF):
    """CKCF with relation vectors in its semantic similarity: our design of what the paper names as future work.

    An item has one vector for each relation r and direction. It is the sum of t − r over the item's triples
    (item, r, t), or of h + r over the triples (h, r, item), scaled to length 1. Here h, r and t are vectors of the
    embedding. Two items are compared by the cosines of their vectors for the same relation and direction
    (`relational_vectors`). In an item's own embedding vector, the influence of all its relations is mixed; the
    comparison by relation keeps them separate. The rest is CKCF.

    Source: after Zhou et al., CKCF (see `CKCF`), and A. Bordes et al., "Translating Embeddings for Modeling
    Multi-relational Data", NeurIPS 2013.
    """

    name = "CKCF-relational"
    inputs = RECOMMENDERS["CKCF-relational"].inputs
    config_class = CKCFRelationalConfig
    config: CKCFRelationalConfig

    def _compared(self, entities: ItemEntities, knowledge: KnowledgeGraph) -> np.ndarray:
        c = self.config
        if c.compare == "own":
            return super()._compared(entities, knowledge)
        return relational_vectors(
            entities, knowledge, mean=c.compare == "mean", translate=c.translate, relations=c.relations
        )
