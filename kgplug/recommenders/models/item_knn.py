"""ItemKNN: items that have many users in common with the user's likes, found by the `implicit` library."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field
from scipy import sparse

from kgplug.data.ranking.threads import processors, row_blocks
from kgplug.recommenders.catalogue import RECOMMENDERS
from kgplug.recommenders.parts.libgomp import load_libgomp
from kgplug.recommenders.parts.similarity import SimilarityRecommender, nearest
from kgplug.recommenders.training_data import TrainingData
from kgplug.training.config import ModelConfig, Range, Space

_BLOCK_CELLS = 4_000_000  # similarities in memory at a time: new rows × old rows
_BM25_K1, _BM25_B = 1.2, 0.75  # S. Robertson, H. Zaragoza, "The Probabilistic Relevance Framework", 2009


class ItemKNNConfig(ModelConfig):
    """Settings of ItemKNN."""

    tuning: ClassVar[Space] = {"similarity": ("bm25", "tfidf", "cosine"), "neighbours": Range(10, 400, log=True)}

    similarity: Literal["bm25", "tfidf", "cosine"] = Field("bm25", description="similarity of two items by their users")
    neighbours: int = Field(100, ge=1, description="number of similar items per item")


class ItemKNN(SimilarityRecommender):
    """Scores item i by its similarities s(j, i) to the items j that the user likes: `Σ_j∈likes(u) s(j, i)`.

    Each item j keeps only its similarities to the `neighbours` most similar other items; all others count as 0. The
    similarity of two items comes from the users who like them: cosine, cosine after TF-IDF weighting, or dot product
    after BM25 weighting. With weights of feedback, a like counts as much as its `Interactions.confidence`, both in the
    vectors that are compared and as a factor of s(j, i).

    Source: M. Deshpande, G. Karypis, "Item-Based Top-N Recommendation Algorithms", ACM TOIS 22(1), 2004;
    weights and similarities are computed by the `implicit` library.
    """

    name = "ItemKNN"
    inputs = RECOMMENDERS["ItemKNN"].inputs
    config_class = ItemKNNConfig
    config: ItemKNNConfig

    def _fit(self, data: TrainingData) -> None:
        likes = data.interactions.likes()
        self.likes = likes.matrix(likes.confidence)
        self.similarity = similar_rows(
            self.likes.T.tocsr(), self.config.similarity, self.config.neighbours, progress=bool(data.progress)
        )


def similar_rows(
    rows: sparse.csr_matrix, similarity: str, neighbours: int, *, progress: bool = False
) -> sparse.csr_matrix:
    """Return the similarities of each row to its nearest other rows, computed by `implicit`.

    Args:
        rows: Rows to compare (users by items, or items by users), CSR (n, m), 0 or 1, or the
            weights of likes.
        similarity: "bm25", "tfidf" or "cosine".
        neighbours: Maximum number of neighbours per row.
        progress: Show a bar.

    Returns:
        CSR float32 (n, n), with sorted indices and no duplicates.
    """
    load_libgomp()
    from implicit.nearest_neighbours import ItemItemRecommender

    weighted = weighted_rows(rows, similarity)
    # One neighbour more, because a row is its own nearest neighbour.
    knn = ItemItemRecommender(K=neighbours + 1, num_threads=processors())
    knn.fit(weighted.T.tocsr(), show_progress=progress)
    assert knn.similarity is not None  # set by fit
    return nearest(sparse.csr_matrix(knn.similarity), neighbours)


def rows_near(
    others: sparse.csr_matrix, rows: sparse.csr_matrix, similarity: str, neighbours: int
) -> sparse.csr_matrix:
    """Return the similarities of each row of `others` to its nearest rows in `rows`, CSR float32 (b, n).

    Args:
        others: New rows, CSR (b, m). Each is compared as if it alone were added to `rows`. So the result for one new
            row does not depend on the other new rows.
        rows, similarity, neighbours: As in `similar_rows`.
    """
    n = rows.get_shape()[0]
    counts, lengths = rows.getnnz(axis=0), rows.getnnz(axis=1)  # (m,), (n,)
    without, idf = (np.log(n + 1) - np.log1p(counts + more) for more in (0, 1))  # idf if the new row is 0, if it is 1
    if similarity == "cosine":
        without, idf = np.ones(len(counts)), np.ones(len(counts))
    squares = rows @ without**2  # (n,)
    weights = idf**2 + 1j * (idf**2 - without**2)  # imaginary part: change of an old row's norm²
    old, empty = rows.T.tocsr().astype(weights.dtype), sparse.csr_matrix((n, n), dtype=np.float64)
    found = [sparse.csr_matrix(empty[:0].astype(np.float32))]
    for block in row_blocks(others.get_shape()[0], max(1, _BLOCK_CELLS // n)):
        new = sparse.csr_matrix(others[block], dtype=np.float64)
        product = sparse.coo_matrix(new.multiply(weights) @ old)  # (b, n)
        row, column, values = product.row, product.col, np.real(product.data)
        if similarity == "bm25":
            new_lengths = new.getnnz(axis=1)
            mean = (lengths.sum() + new_lengths) / (n + 1)  # (b,)
            for length in (new_lengths[row], lengths[column]):
                values = values * (_BM25_K1 + 1) / (_BM25_K1 * (1 - _BM25_B + _BM25_B * length / mean[row]) + 1)
        else:
            both = (new @ idf**2)[row] * (squares[column] + np.imag(product.data))
            values = values / np.sqrt(np.maximum(both, np.finfo(float).tiny))
        similar = sparse.csr_matrix((values, (row, column)), shape=product.get_shape())
        # `nearest` drops the diagonal, so n empty rows move the similarities below it.
        found.append(nearest(sparse.csr_matrix(sparse.vstack([empty, similar])), neighbours)[n:])
    return sparse.csr_matrix(sparse.vstack(found))


def weighted_rows(rows: sparse.csr_matrix, similarity: str) -> sparse.csr_matrix:
    """Weight rows so that their dot products are the similarities of `similar_rows`: CSR (n, m) → CSR (n, m)."""
    load_libgomp()
    from implicit.nearest_neighbours import bm25_weight, normalize, tfidf_weight

    wide = rows.astype(np.float64)
    weighted = {
        "bm25": lambda: bm25_weight(wide, _BM25_K1, _BM25_B),  # type: ignore[arg-type]
        "tfidf": lambda: normalize(_without_zeros(tfidf_weight(wide))),
        "cosine": lambda: normalize(wide),
    }[similarity]()
    return sparse.csr_matrix(weighted)


def _without_zeros(matrix: sparse.coo_matrix) -> sparse.csr_matrix:
    """Return a matrix without stored zeros.

    TF-IDF of `implicit` stores zeros in a column where n − 1 of the n rows have an entry.
    """
    kept = sparse.csr_matrix(matrix)
    kept.eliminate_zeros()
    return kept
