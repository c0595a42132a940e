"""CEASE: the closed-form item-item model of EASE, with features of the knowledge graph as additional users."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field
from scipy import sparse

from kgplug.recommenders.catalogue import RECOMMENDERS
from kgplug.recommenders.click_through.side_features import kg_features
from kgplug.recommenders.models.ease import EASE, Discount, EASEConfig, ItemPower, RatingWeight
from kgplug.recommenders.training_data import TrainingData
from kgplug.training.config import Grid, Range, Space


class CEASEConfig(EASEConfig):
    """Settings of CEASE: those of EASE with other defaults, and `knowledge_weight`.

    The mean NDCG@10 on four validation sets of MovieLens-100K was .219 with EASE, .228 with KG features added, and .230
    with KG features and dropout. The table shows it for four larger validation sets (A), and for the same sets if only
    ratings of at least 4 stars are likes (B):

    | EASE with                                                       | A    | B    |
    |-----------------------------------------------------------------|------|------|
    | KG features, `dropout`                                          | .279 | .226 |
    | KG features, `dropout`, `rating_weight`                         | .283 | .226 |
    | KG features, `dropout`, `rating_weight`, `l2_power`, `discount` | .286 | .229 |

    In the last row, `discount` alone gives half of the gain, and `l2_power` alone gives none.
    """

    tuning: ClassVar[Space] = {
        **EASEConfig.tuning,
        "knowledge_weight": Range(0.1, 10.0, log=True),
        "popularity": Range(0.0, 0.1),
        "rating_weight": Range(0.0, 0.3),
        "discount": Range(0.0, 0.3),
    }

    grid: ClassVar[Grid] = {"knowledge_weight": (2.5, 0.0, 0.8, 8.0), **EASEConfig.grid}

    dropout: float = Field(0.4, ge=0, lt=1, description="fraction of a user's likes dropped in training")
    knowledge_weight: float = Field(
        2.5,
        ge=0,
        description="weight of a KG feature (such as one director) relative to the mean weight of a like; 0: no KG",
    )
    l2_power: ItemPower = 0.3
    discount: Discount = 0.1
    rating_weight: RatingWeight = 0.15


class CEASE(EASE):
    """Collective EASE: score(u, ·) = x_u B, with B learnt in closed form from users and KG features together.

    A KG feature, such as (DIRECTED_BY, somebody), counts as a user who likes every item with this feature. The weight w
    of such a user is `knowledge_weight` times the mean weight of a like. So EASE's Gram matrix becomes
    G = Xᵀ D X + w F Fᵀ + λ I. X contains the likes, D is the diagonal matrix of the users' weights, λ is `l2`, and F
    (items × features) is 1 where an item has a feature. In this way, items with few likes get their neighbours from the
    graph.

    Source: O. Jeunen, J. Van Balen, B. Goethals, "Closed-Form Models for Collaborative Filtering with
    Side-Information", RecSys 2020. Our additions: features from a knowledge graph (`side_features.kg_features`, without
    idf weights); and, as in `EASE`, dropout, the weights of users, ratings and items, and a popularity term in the
    score. With knowledge_weight=0, and with EASE's defaults for the other settings, CEASE is the same as EASE.
    """

    name = "CEASE"
    inputs = RECOMMENDERS["CEASE"].inputs
    config_class = CEASEConfig
    config: CEASEConfig

    def _learnable(self, data: TrainingData) -> np.ndarray:
        features = kg_features(data.interactions.likes(), data.knowledge)  # (n_items, n_features)
        return np.union1d(super()._learnable(data), np.flatnonzero(features.getnnz(axis=1)))

    def _learnt_rows(self, data: TrainingData) -> tuple[sparse.csr_matrix, np.ndarray, float]:
        rows, weights, mean_weight = super()._learnt_rows(data)
        features = kg_features(data.interactions.likes(), data.knowledge)  # (n_items, n_features)
        if self.config.knowledge_weight > 0 and features.nnz > 0:
            has = sparse.csr_matrix(features.T.astype(bool), dtype=np.float32)
            of_features = np.full(len(has.indptr) - 1, self.config.knowledge_weight * mean_weight)
            rows, weights = sparse.csr_matrix(sparse.vstack([rows, has])), np.concatenate([weights, of_features])
        return rows, weights, mean_weight
