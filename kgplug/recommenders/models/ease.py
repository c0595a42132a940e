"""EASE: the item-item model whose weights have a closed form."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field
from scipy import sparse

from kgplug.data.erasure.item_arrays import ItemArrays
from kgplug.data.erasure.user_arrays import UserArrays
from kgplug.data.free_memory import free_memory
from kgplug.data.interactions import Interactions
from kgplug.data.ranking.threads import row_blocks
from kgplug.data.ranking.ties import ROUNDING
from kgplug.data.values.keys import distinct
from kgplug.errors import TrainingError, is_out_of_memory
from kgplug.recommenders.catalogue import RECOMMENDERS
from kgplug.recommenders.parts.choosing.chosen_by_lists import ChosenByLists, ListsConfig, items_to_try
from kgplug.recommenders.parts.csr_arrays import csr_arrays, csr_of
from kgplug.recommenders.parts.inverse import bytes_beside, invert
from kgplug.recommenders.training_data import TrainingData
from kgplug.training.config import Grid, Range, Space

_BYTES_BESIDE = 8 + 4 + 8  # bytes per cell of a block of rows of the Gram matrix: sparse (8 + 4) and dense (8)
_PROBES = 16  # rows checked for rounding errors: this many with the most likes, and this many others
_BLOCK_ROWS, _BLOCK_CELLS = 512, 4_000_000
_MOST_STDS, _LEAST_STD = 3.0, 1e-6  # largest |z| of a rating; smallest standard deviation of ratings
_L2 = 500.0  # default of λ if all users have weight 1; EASEConfig has the measurements


ItemPower = Annotated[float, Field(
    ge=0, le=1,
    description="an item's λ is proportional to its Gram value (weighted number of likes) to this power; 0: equal λ",
)]  # fmt: skip
Discount = Annotated[float, Field(
    ge=0, le=1,
    description="an item's score is divided by its Gram value (weighted number of likes) to this power, in favour of "
    "less popular items; 0: no division",
)]  # fmt: skip
RatingWeight = Annotated[float, Field(
    ge=0, le=0.3,
    description="how much a like's weight grows per standard deviation of its rating above the mean; 0: equal weights",
)]  # fmt: skip


class EASEConfig(ListsConfig):
    """Settings of EASE.

    In the paper: user_power=0, l2_power=0, discount=0, rating_weight=0, l2 (λ) 500 on MovieLens-20M, 1,000 on Netflix,
    200 on the Million Song Dataset.

    By default λ is 500 times the mean weight of a like (a like has its user's weight), so it scales with the Gram
    matrix. With user_power=0, the best λ on a validation set of MovieLens-100K was 500; on one of Book-Crossing it was
    300 for lists and 1,000 for AUC. With user_power=0.5 and λ = 50, lists were a little better on both data sets:
    NDCG@10 rose from .2404 to .2437 on MovieLens-100K, and from .0595 to .0598 on Book-Crossing.
    """

    tuning: ClassVar[Space] = {"l2": Range(5.0, 2000.0, log=True), "user_power": Range(0.0, 1.0)}

    grid: ClassVar[Grid] = {**ListsConfig.grid, "l2": 4.0}

    l2: float | None = Field(
        None,
        gt=0,
        description="weight λ of the squared item-item weights; by default 500 times the mean weight of a like",
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, description="fraction of a user's likes dropped in training (EDLAE); 0: none"
    )
    user_power: float = Field(
        0.5,
        ge=0,
        le=1,
        description="a user's weight in training is 1 / likes^user_power; 0: equal weights, as in the paper",
    )
    l2_power: ItemPower = 0.0
    discount: Discount = 0.0
    rating_weight: RatingWeight = 0.0


class EASE(ChosenByLists):
    """Embarrassingly shallow autoencoder: score(u, ·) = x_u B, with item-item weights B learnt in closed form.

    X contains the likes, with user u's likes in row x_u. D is the diagonal matrix of the users' weights (I in the
    paper), and λ is `l2`. Then G = Xᵀ D X + λ I, P = G⁻¹ and B = I − P · diag(1 / diag P), so that diag B = 0 (eq. 8).
    P has a row and a column per item. Items without likes have zero weights.

    - `dropout` p adds p / (1 − p) · diag(Xᵀ D X) to G, the closed form of dropping likes at random.
    - With ratings and a `rating_weight` w, a like is 1 + w z in X. Here z is the difference between its rating and the
      mean rating of all likes, in standard deviations, clipped to ±3.
    - With weights of feedback, a like is also multiplied by √c in X, where c is its confidence
      (`Interactions.confidence`). So it counts as c likes in its item's Gram value.
    - The Gram value of item j is (Xᵀ D X)_jj. Let g be this value divided by its mean over items. The item's λ is
      multiplied by g^l2_power, and its scores by g^−discount.

    Source: H. Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019; dropout: H. Steck, "Autoencoders
    that don't overfit towards the Identity", NeurIPS 2020.

    Attributes:
        weights: B for the m items that have likes (in CEASE: likes or KG features), float32 (m, m).
        known: Indices of these items, int64 (m,).
        likes: The training likes X, CSR float32 (n_users, n_items).
    """

    name = "EASE"
    inputs = RECOMMENDERS["EASE"].inputs
    config_class = EASEConfig
    config: EASEConfig
    weights: np.ndarray
    known: np.ndarray
    likes: sparse.csr_matrix

    n_trials = 8  # each with half of the items: the inverse takes an eighth of its usual time, the rest at most half

    def _fit(self, data: TrainingData) -> None:
        _check_memory(self.name, len(self._learnable(data)))  # before the first trial
        super()._fit(data)

    def _default(self, name: str, data: TrainingData) -> Any:
        if name == "l2":
            return self.config.l2 or float(f"{_L2 * self._take_likes(data)[1]:.4g}")
        return super()._default(name, data)

    def _learn(self, data: TrainingData, *, cheaply: bool = False) -> np.ndarray | None:
        self.weights = np.empty((0, 0), dtype=np.float32)  # frees the weights of an earlier trial
        rows, weights, mean_weight = self._learnt_rows(data)
        some, share = np.ones(rows.get_shape()[1], dtype=bool), 1.0
        if cheaply:
            candidates = self._learnable(data)
            some = items_to_try(candidates, len(some), data.seed)
            share = some[candidates].sum() / len(candidates)
        # With fewer items each weight is larger, so λ is lowered in proportion.
        l2 = (self.config.l2 or _L2 * mean_weight) * share
        self._learn_items(np.flatnonzero(some & (rows.getnnz(axis=0) > 0)), rows, weights, l2)
        return some if cheaply else None

    def _learnable(self, data: TrainingData) -> np.ndarray:
        """Return the items that can get weights, int64: those with likes, in CEASE also those with KG features."""
        return distinct(data.interactions.likes().items)

    def _learnt_rows(self, data: TrainingData) -> tuple[sparse.csr_matrix, np.ndarray, float]:
        """Return the rows to learn from, their weights, and the mean weight of a like.

        The rows are the users' likes, in CEASE also the items of each KG feature, CSR (n_rows, n_items). The weights
        are float64 (n_rows,).
        """
        weights, mean_weight = self._take_likes(data)
        return self.likes, weights, mean_weight

    def _take_likes(self, data: TrainingData) -> tuple[np.ndarray, float]:
        """Store the likes, and return the weight of each user, float64 (n_users,), and the mean weight of a like."""
        likes = data.interactions.likes()
        self.likes = _weighted(likes, self.config.rating_weight)
        n_likes = np.diff(self.likes.indptr)
        weights = np.maximum(n_likes, 1.0) ** -self.config.user_power  # (n_users,)
        if likes.confidence is not None:
            n_likes = np.bincount(likes.users, weights=likes.confidence, minlength=likes.n_users)
        mean_weight = float(weights @ n_likes) / self.likes.nnz  # a like has its user's weight, times its confidence
        return weights, mean_weight

    def _learn_items(self, items: np.ndarray, rows: sparse.csr_matrix, weights: np.ndarray, l2: float) -> None:
        """Learn the item-item weights `self.weights` of the given items, and set `self.known` to these items.

        Args:
            items: The items to learn, int64 (m,).
            rows: Likes of each user, in CEASE also items of each KG feature, CSR (n_rows, n_items).
            weights: Weight of each row, float64 (n_rows,).
            l2: L2 penalty (λ) of an item with an average weighted number of likes. Other items have the penalty
                l2 · (their number / the average) ** `l2_power`.
        """
        self.known, m = items, len(items)
        _check_memory(self.name, m)
        x = rows[:, self.known].astype(np.float64)  # (n_rows, m)
        try:
            self.weights = self._closed_form(x, weights, l2)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise _too_many(self.name, m, "less is free") from error

    def _closed_form(self, x: sparse.csr_matrix, weights: np.ndarray, l2: float) -> np.ndarray:
        """Return the item-item weights B of m items, float32 (m, m).

        The inverse P of the Gram matrix is computed in float32. If rounding errors would matter (`_is_precise`), it is
        computed again in float64.

        Args:
            x: Likes of each user, in CEASE also items of each KG feature, CSR float64 (n_rows, m).
            weights: Weight of each row, float64 (n_rows,).
            l2: L2 penalty (λ) of an item with an average weighted number of likes. Other items have the penalty
                l2 · (their number / the average) ** `l2_power`.
        """
        c, weighted = self.config, sparse.csr_matrix(sparse.diags(weights) @ x)
        own = np.asarray(x.multiply(weighted).sum(axis=0)).ravel()
        relative = own / own.mean()  # Gram value of each item, divided by the mean
        added = c.dropout / (1 - c.dropout) * own + l2 * relative**c.l2_power  # to the diagonal of Xᵀ D X
        inverse = _inverse(x, weighted, added, np.float32)
        if inverse is None or not _is_precise(inverse, x, weighted, added):
            del inverse
            _check_memory(self.name, x.get_shape()[1], np.float64)
            inverse = _inverse(x, weighted, added, np.float64)
        if inverse is None:
            raise TrainingError(
                f"{self.name} cannot invert its matrix: l2 is too small for these likes. Set a larger l2."
            )
        found = _weights_in_place(inverse)
        if c.discount > 0:
            found *= (relative**-c.discount).astype(np.float32)  # column by column
        return found

    def score(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Return the score of each pair of a user and an item, float32 (n,)."""
        return self._score_by_blocks(users, items)

    def _score_block(self, users: np.ndarray) -> np.ndarray:
        return self._score_new_users(self.likes[users])

    def _score_new_users(self, likes: sparse.csr_matrix) -> np.ndarray:
        scores = np.zeros((likes.get_shape()[0], len(self.item_keys)), dtype=np.float32)
        scores[:, self.known] = likes[:, self.known] @ self.weights  # (b, m)
        cold = np.diff(likes.indptr) == 0
        if cold.any() and self.config.popularity == 0:
            scores[np.ix_(cold, self.known)] = self._of_the_average_user()
        if self.config.popularity > 0:
            scores += np.float32(self.config.popularity) * self.log_likes
        return scores

    def _of_the_average_user(self) -> np.ndarray:
        """Return the average user's scores of the items in `known`, float32 (m,). Users without likes get them."""
        return np.asarray(self.likes[:, self.known].mean(axis=0)).ravel() @ self.weights

    @classmethod
    def user_arrays(cls) -> UserArrays:
        return UserArrays(matrices=("likes",), items=ItemArrays(columns=("likes",), known=(("known", "weights"),)))

    def _arrays(self) -> dict[str, np.ndarray]:
        return {"weights": self.weights, "known": self.known, **csr_arrays(likes=self.likes)}

    def _restore(self, arrays: dict[str, np.ndarray]) -> None:
        self.weights, self.known = arrays["weights"], arrays["known"]
        self.likes = csr_of("likes", arrays, (len(self.user_keys), len(self.item_keys)))


def _weighted(likes: Interactions, rating_weight: float) -> sparse.csr_matrix:
    """Return the likes X of `EASE`, CSR float32 (n_users, n_items): (1 + w z) √c for a like.

    w is `rating_weight`, and z the rating minus the mean rating, in standard deviations, clipped to ±3 (0 without
    ratings). c is the like's confidence (1 without weights).
    """
    values = np.ones(len(likes))
    if rating_weight > 0 and likes.ratings is not None and len(likes) > 0:
        ratings = likes.ratings.astype(np.float64)
        z = (ratings - ratings.mean()) / max(ratings.std(), _LEAST_STD)
        values += rating_weight * np.clip(z, -_MOST_STDS, _MOST_STDS)
    return likes.matrix(values if likes.confidence is None else values * np.sqrt(likes.confidence))


def _check_memory(name: str, m: int, dtype: type[np.floating] = np.float32) -> None:
    """Check that the inverse for m items fits in free memory.

    Raises:
        TrainingError: Learning the weights needs more memory than is free.
    """
    free = free_memory()
    if _needed(m, dtype) > free:
        raise _too_many(name, m, f"{free / 1e9:,.1f} GB are free", dtype)


def _needed(m: int, dtype: type[np.floating] = np.float32) -> int:
    """Return the peak memory of learning the weights of m items, in bytes. The weights reuse the inverse's memory."""
    rows = _row_blocks(m)[0].stop if m else 0
    return m * m * np.dtype(dtype).itemsize + max(bytes_beside(m, dtype), rows * m * _BYTES_BESIDE)


def _too_many(name: str, m: int, found: str, dtype: type[np.floating] = np.float32) -> TrainingError:
    return TrainingError(
        f"{name} inverts a matrix of {m:,} × {m:,} items, which needs {_needed(m, dtype) / 1e9:,.1f} GB of memory, and "
        f"{found}. Leave out items of few likes, or use SLIM."
    )


def _inverse(
    x: sparse.csr_matrix, weighted: sparse.csr_matrix, added: np.ndarray, dtype: type[np.floating]
) -> np.ndarray | None:
    """Return P, the inverse of Xᵀ D X with a changed diagonal, (m, m); None if there is no inverse.

    Args:
        x: Matrix X, CSR float64 (n_rows, m).
        weighted: Matrix D X, CSR float64 (n_rows, m).
        added: Numbers to add to the diagonal of Xᵀ D X, float64 (m,).
        dtype: float32 or float64, for the computation and the result.
    """
    gram = _gram(x, weighted, dtype)
    gram[np.diag_indices_from(gram)] += added.astype(dtype)
    return gram if invert(gram) else None


def _gram(x: sparse.csr_matrix, weighted: sparse.csr_matrix, dtype: type[np.floating]) -> np.ndarray:
    """Return Xᵀ D X, (m, m), computed some rows at a time from X (`x`) and D X (`weighted`)."""
    columns = sparse.csr_matrix(weighted.T)
    m = columns.indptr.size - 1
    gram = np.empty((m, m), dtype=dtype)
    for rows in _row_blocks(m):
        gram[rows] = (columns[rows] @ x).toarray()
    return gram


def _is_precise(inverse: np.ndarray, x: sparse.csr_matrix, weighted: sparse.csr_matrix, added: np.ndarray) -> bool:
    """Return whether P is precise enough: its rounding errors change scores by too little to matter.

    Only some rows x of X are checked: those with the most likes, and others evenly spaced by number of likes. In each
    row, only the items without a like are checked. The error of x P is estimated by one step of iterative refinement:
    x P + (x − x P G) P is more precise than x P, where P is the inverse of G.

    Args:
        inverse: Matrix P, (m, m).
        x, weighted, added: As in `_inverse`.
    """
    n_likes = np.diff(x.indptr)
    rows = np.argsort(-n_likes, kind="stable")[: np.count_nonzero(n_likes)]  # most likes first
    likes = x[np.union1d(rows[:_PROBES], rows[:: -(-len(rows) // _PROBES)])].toarray()  # (b, m)
    found, diagonal = _rows_times(likes, inverse), inverse.diagonal().astype(np.float64)
    residual = likes - (x.T @ (weighted @ found.T)).T - found * added  # x − x P G
    errors = np.abs(np.where(likes == 0, _rows_times(residual, inverse) / diagonal, 0)).max(axis=1)
    return bool((errors <= ROUNDING * np.abs(found / diagonal - likes).max(axis=1)).all())


def _rows_times(rows: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return rows @ matrix in float64: (b, m), (m, m) → (b, m). The whole matrix is never copied to float64."""
    product = np.zeros(rows.shape)
    for block in _row_blocks(len(matrix)):
        product += rows[:, block] @ matrix[block].astype(np.float64)
    return product


def _weights_in_place(inverse: np.ndarray) -> np.ndarray:
    """Return B, float32 (m, m), stored in the memory of P. B_ij is −P_ij / P_jj, and zero on the diagonal.

    Args:
        inverse: Matrix P, float32 or float64 (m, m), which owns its memory. If it is float64, the second half of its
            memory is freed.
    """
    m, diagonal = len(inverse), inverse.diagonal().copy()
    weights = inverse.reshape(-1).view(np.float32)
    for rows in _row_blocks(m):  # a row of float32 ends before the float64 rows that are still to be read
        weights[rows.start * m : rows.stop * m] = (inverse[rows] / -diagonal).astype(np.float32).ravel()
    if inverse.dtype != np.float32:
        del weights  # no view of the memory may exist while it shrinks
        inverse.resize((m * m + 1) // 2, refcheck=False)
        weights = inverse.view(np.float32)
    weights = weights[: m * m].reshape(m, m)
    weights[np.diag_indices_from(weights)] = 0
    return weights


def _row_blocks(m: int) -> list[slice]:
    return row_blocks(m, max(1, min(_BLOCK_ROWS, _BLOCK_CELLS // m)))
