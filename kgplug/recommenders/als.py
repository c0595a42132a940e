"""ALS: factors of likes by alternating least squares, through the `implicit` library."""

from __future__ import annotations

import warnings
from typing import ClassVar

from pydantic import Field

from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.data.processors import processors
from kgplug.recommenders.base import FitOptions
from kgplug.recommenders.factors import FactorRecommender, Factors
from kgplug.training.config import ModelConfig, Range, Space


class ALSConfig(ModelConfig):
    """Settings of ALS."""

    tuning: ClassVar[Space] = {
        "embedding_dim": (16, 32, 64, 128),
        "l2": Range(1e-2, 1e2, log=True),
        "confidence": Range(1.0, 100.0, log=True),
    }

    embedding_dim: int = Field(64, ge=1, description="length of a vector")
    epochs: int = Field(15, ge=1, description="times that users and items are solved in turn")
    l2: float = Field(100.0, ge=0, description="λ, weight of the squared norms of the vectors")
    confidence: float = Field(20.0, gt=0, description="c of a like; a pair without one has 1 (the paper: 1 + α)")


class ALS(FactorRecommender):
    """Factors that explain every pair of a user and an item: a like as 1 with confidence c, the others as 0 with 1.

    Σ_ui c_ui (p_ui − x_u · y_i)² + λ (Σ ‖x_u‖² + Σ ‖y_i‖²), solved for users and items in turn by conjugate
    gradients. Each row is solved by itself, so threads change nothing in the result.

    Source: Y. Hu, Y. Koren, C. Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", ICDM 2008, eq. 3;
    the `implicit` library does the work.
    """

    name = "ALS"
    config_class = ALSConfig
    config: ALSConfig

    def _fit(
        self,
        interactions: Interactions,
        knowledge: KnowledgeGraph | None,  # noqa: ARG002
        valid: Interactions | None,  # noqa: ARG002
        seed: int,
        options: FitOptions,
    ) -> None:
        from implicit.cpu.als import AlternatingLeastSquares

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of BLAS threads that could be fewer
            model = AlternatingLeastSquares(
                factors=self.config.embedding_dim, regularization=self.config.l2, alpha=self.config.confidence,
                iterations=self.config.epochs, random_state=seed, num_threads=processors(),
            )  # fmt: skip
        model.fit(interactions.likes().matrix(), show_progress=bool(options.progress))
        self.factors = Factors.without_bias(model.user_factors, model.item_factors)
