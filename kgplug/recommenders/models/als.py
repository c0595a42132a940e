"""ALS: matrix factorisation of likes by alternating least squares, computed by the `implicit` library."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from pydantic import Field
from scipy import sparse
from scipy.sparse.linalg import svds

from kgplug.data.interactions import Interactions
from kgplug.data.ranking.threads import processors
from kgplug.errors import TrainingError
from kgplug.recommenders.catalogue import RECOMMENDERS
from kgplug.recommenders.click_through.factors import FactorRecommender, Factors
from kgplug.recommenders.parts.choosing.chosen_by_lists import ChosenByLists, ListsConfig
from kgplug.recommenders.parts.libgomp import load_libgomp
from kgplug.recommenders.training_data import TrainingData
from kgplug.training.config import Grid, Range, Space

_LEAST_CONFIDENCE = 1e-3  # of a like; a confidence below 1 and a large weight could make it negative


class ALSConfig(ListsConfig):
    """Settings of ALS."""

    tuning: ClassVar[Space] = {
        "embedding_dim": (16, 32, 64, 128),
        "l2": Range(1e-2, 1e2, log=True),
        "confidence": Range(1.0, 100.0, log=True),
    }

    grid: ClassVar[Grid] = {**ListsConfig.grid, "l2": 1.5}

    embedding_dim: int = Field(64, ge=1, description="length of a vector")
    epochs: int = Field(15, ge=1, description="number of iterations: each solves for all users, then for all items")
    l2: float = Field(
        100.0,
        ge=0,
        description="weight λ of the squared norms of the vectors; the default is lowered where it could make all "
        "vectors zero",
    )
    confidence: float = Field(20.0, gt=0, description="confidence c of a like (1 + α in the paper); other pairs have 1")


class ALS(ChosenByLists, FactorRecommender):
    """Matrix factorisation of all user-item pairs: likes are 1 with confidence c, other pairs 0 with confidence 1.

    The user vectors x_u and item vectors y_i minimise Σ_ui c_ui (p_ui − x_u · y_i)² + λ (Σ ‖x_u‖² + Σ ‖y_i‖²), where
    p_ui is 1 for a like and otherwise 0, c_ui is the pair's confidence, and λ is `l2`. With weights of feedback, a like
    has c_ui = 1 + (c − 1) w, where w is its `Interactions.confidence`, which is 1 on average. Users and items are
    solved for alternately, by conjugate gradients. Each vector is solved for separately, so the number of threads does
    not change the result.

    Source: Y. Hu, Y. Koren, C. Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", ICDM 2008, eq. 3;
    computed by the `implicit` library. Our addition: a popularity term in the score (setting `popularity`).
    """

    name = "ALS"
    inputs = RECOMMENDERS["ALS"].inputs
    config_class = ALSConfig
    config: ALSConfig

    n_trials = 3  # each with two thirds of the iterations; with fewer, a large l2 looks worse than it is

    def _default(self, name: str, data: TrainingData) -> Any:
        if name == "l2":
            return min(self.config.l2, bearable_l2(data.interactions.likes(), self.config.confidence))
        return super()._default(name, data)

    def _learn(self, data: TrainingData, *, cheaply: bool = False) -> None:
        load_libgomp()
        from implicit.cpu.als import AlternatingLeastSquares
        from implicit.recommender_base import ModelFitError

        likes = data.interactions.likes()
        if "l2" not in self.config.model_fields_set:
            self.config = self.config.model_copy(update={"l2": self._default("l2", data)})
        iterations = -(-2 * self.config.epochs // 3) if cheaply else self.config.epochs
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the number of BLAS threads
            model = AlternatingLeastSquares(
                factors=self.config.embedding_dim, regularization=self.config.l2, alpha=self.config.confidence,
                iterations=iterations, random_state=data.seed, num_threads=processors(),
            )  # fmt: skip
        try:
            model.fit(_relative_confidences(likes, self.config.confidence), show_progress=bool(data.progress))
        except ModelFitError:
            raise TrainingError(
                f"{self.name}: the vectors became NaN with l2={self.config.l2:g} and confidence="
                f"{self.config.confidence:g}. Train again with smaller values."
            ) from None
        self.factors = Factors.without_bias(model.user_factors, model.item_factors).averaged(self.liked)
        self._rescore()

    def _rescore(self) -> None:
        self.factors = replace(self.factors, item_bias=np.float32(self.config.popularity) * self.log_likes)


def bearable_l2(likes: Interactions, confidence: float) -> float:
    """Return half of the smallest `l2` with which all vectors become zero, rounded to three significant digits.

    That smallest `l2` is the largest singular value of the matrix of confidences (0 for pairs that are not likes). The
    reason: near zero, an iteration of ALS multiplies the vectors by at most the square of this value divided by `l2`².
    """
    smaller, relative = min(likes.n_users, likes.n_items), _relative_confidences(likes, confidence)
    if smaller == 1:
        return confidence * float(np.linalg.norm(relative.data.astype(np.float64))) / 2
    start = np.ones(smaller)  # never orthogonal to the singular vector, which has no negative entry
    largest = np.asarray(svds(relative, k=1, v0=start, return_singular_vectors=False)).item()
    return float(f"{confidence * largest / 2:.3g}")


def _relative_confidences(likes: Interactions, confidence: float) -> sparse.csr_matrix:
    """Return the confidence of each like, divided by `confidence`: CSR float32 (n_users, n_items)."""
    weights = likes.confidence
    if weights is None:
        return likes.matrix()
    confidences = np.maximum(1 + (confidence - 1) * weights.astype(np.float64), _LEAST_CONFIDENCE)
    return likes.matrix(confidences / confidence)
