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
        description="exponent of n₁ · n₂, which divides the CF similarity (n₁, n₂: the items' numbers of users); "
        "CKCF has 0.5",
    )
    cold_boost: Literal["printed", "midpoint", "none"] = Field(
        "none", description='which similarities to new items are raised; see CKCF, which has "printed"'
    )
    cf_share: float = Field(0.7, ge=0, le=1, description="weight of collaborative filtering; CKCF has 0.5")
    compare: Literal["relations", "mean", "own"] = Field(
        "relations", description="vectors to compare: one per relation of the item, their sum, or the item's own (CKCF)"
    )
    translate: bool = Field(
        True, description="whether a neighbour t, linked by relation r, counts as t − r; False: as t"
    )
    relations: int = Field(
        16, ge=1, description="maximum number of directed relations to compare; those with the most items are used"
    )


class CKCFRelational(CKCF):
    """CKCF with relation vectors in its semantic similarity: our design of what the paper names as future work.

    For each relation r, an item is represented by the sum of t − r over its neighbours t by r (or of h + r if the item
    is the tail), scaled to length 1. Two items are compared by the cosines of these vectors (`relational_vectors`).
    An item's own vector mixes the influence of all its relations; the comparison by relation keeps them separate. The
    rest is CKCF.

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
