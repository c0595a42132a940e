"""CKCF-relational: CKCF whose semantic similarity knows by which relation things hang together."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.recommenders.ckcf import CKCF, CKCFConfig
from kgplug.recommenders.pretrained import ItemEntities
from kgplug.recommenders.relational import relational_vectors


class CKCFRelationalConfig(CKCFConfig):
    """Settings of CKCF-relational.

    Chosen on validation parts (likes 6:2:2; NDCG@10 of the semantic list alone, then of the list fused 5:5 with CKCF's
    other settings):

    | what is compared                     | Book-Crossing | MovieLens-100K |
    |--------------------------------------|---------------|----------------|
    | the item's own vector (CKCF)         | .0766, .0760  | .0200, .1114   |
    | mean of neighbours, not translated   | .0848, .0820  | .0496, .1272   |
    | mean of neighbours, translated       | .0851, .0823  | .0454, .1270   |
    | by relation, not translated          | .0843, .0821  | .0395, .1235   |
    | by relation, translated (default)    | .0844, .0816  | .0509, .1302   |

    Weighing relations by how alike co-liked items are in them, or neighbours by their rarity, gave no more. With the
    other defaults below the fused list has .0940 and .1437.
    """

    hot_exponent: float = Field(0.2, ge=0, le=1, description="of the product of both items' users; CKCF has 0.5")
    cold_boost: Literal["printed", "midpoint", "none"] = Field(
        "none", description='similarities to new items that are raised, see CKCF, which has "printed"'
    )
    cf_share: float = Field(0.7, ge=0, le=1, description="of collaborative filtering; CKCF has 0.5")
    compare: Literal["relations", "mean"] = Field(
        "relations", description="one vector a relation of the item, or one for all of them"
    )
    translate: bool = Field(True, description="a neighbour t by relation r counts as t − r; else as t")
    relations: int = Field(16, ge=1, description="directed relations that are compared, the most items' first")


class CKCFRelational(CKCF):
    """CKCF with relation vectors in its semantic similarity (our design; the paper's future work).

    What two items have in common is compared relation by relation, through their translated neighbours
    (`relational_vectors`). An item's own vector says where it ended up among all that pulled at it; this says what
    pulls. All else is CKCF.

    Source: after Zhou et al., CKCF (see there), and A. Bordes et al., "Translating Embeddings for Modeling
    Multi-relational Data", NeurIPS 2013.
    """

    name = "CKCF-relational"
    config_class = CKCFRelationalConfig
    config: CKCFRelationalConfig

    def _compared(self, entities: ItemEntities, knowledge: KnowledgeGraph) -> np.ndarray:
        c = self.config
        return relational_vectors(
            entities, knowledge, mean=c.compare == "mean", translate=c.translate, relations=c.relations
        )
