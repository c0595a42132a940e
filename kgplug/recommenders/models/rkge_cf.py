"""RKGE-CF: lists of RKGE, item-based and user-based collaborative filtering, fused into one."""

from __future__ import annotations

import numpy as np
from pydantic import Field
from scipy import sparse
from scipy.special import expit

from kgplug.data.ranking.ties import Ties, sizes_of_rows
from kgplug.data.ranking.top_k import top_k
from kgplug.recommenders.catalogue import RECOMMENDERS
from kgplug.recommenders.click_through.tasks import ClickThroughTask
from kgplug.recommenders.models.item_knn import rows_near, similar_rows
from kgplug.recommenders.models.rkge import RKGE, RKGEConfig
from kgplug.recommenders.parts.fusion import fuse
from kgplug.recommenders.training_data import TrainingData


class RKGECFConfig(RKGEConfig):
    """Settings of RKGE-CF: those of RKGE, and of the lists fused with it."""

    neighbours: int = Field(20, ge=1, description="number of similar items per item, and of similar users per user")
    cf_share: float = Field(
        0.5, ge=0, le=1, description="fraction of a list's items that item-CF and user-CF choose; RKGE chooses the rest"
    )
    item_share: float = Field(
        0.5, ge=0, le=1, description="fraction of the items of item-CF and user-CF that item-CF chooses"
    )


class RKGECF(RKGE):
    """Fuses the lists of RKGE, item-CF and user-CF (item- and user-based collaborative filtering) into one.

    Item-CF and user-CF compare likes by cosine and use the nearest `neighbours`. Their two lists are fused first, then
    the result with the list of RKGE. Lists are fused by "high replaces low": the best items of the second list replace
    the lowest ranks of the first (`fuse`). The score is 1 / rank. A user's liked items are in no list; they score below
    all other items. Scoring one pair takes as long as ranking all items for its user, so avoid scoring single pairs.

    Source of RKGE: Sun et al., RecSys 2018, "Recurrent Knowledge Graph Embedding for Effective Recommendation". The
    fusion is that of CKCF (Zhou et al.).

    Attributes:
        similar_items: Similarities to each item's nearest items, CSR float32 (n_items, n_items).
        similar_users: Similarities to each user's nearest users, CSR float32 (n_users, n_users).
        likes: Training likes, CSR float32 (n_users, n_items).
    """

    name = "RKGE-CF"
    inputs = RECOMMENDERS["RKGE-CF"].inputs
    config_class = RKGECFConfig
    config: RKGECFConfig
    scores_are_probabilities = False
    scores_are_exact = True
    similar_items: sparse.csr_matrix
    similar_users: sparse.csr_matrix
    likes: sparse.csr_matrix

    def _task(self, data: TrainingData) -> ClickThroughTask:
        task = super()._task(data)
        self._compare(data.interactions.likes().matrix())
        return task

    def _compare(self, likes: sparse.csr_matrix) -> None:
        self.likes = likes
        self.similar_items = similar_rows(likes.T.tocsr(), "cosine", self.config.neighbours)
        self.similar_users = similar_rows(likes, "cosine", self.config.neighbours)

    def score(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Return 1 / rank of each item in its user's list, float32 (n,); liked items score below the last rank."""
        return self._score_by_blocks(users, items)

    def score_parts(self, users: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.score(users, items).astype(np.float64), np.zeros(len(users))

    def _score_block(self, users: np.ndarray) -> np.ndarray:
        return self._fused(super()._unfinished_block(users)[0], self.likes[users], self.similar_users[users])

    def _score_new_users(self, likes: sparse.csr_matrix) -> np.ndarray:
        similar_users = rows_near(likes, self.likes, "cosine", self.config.neighbours)
        return self._fused(super()._unfinished_new_users(likes)[0], likes, similar_users)

    def _unfinished_new_users(self, likes: sparse.csr_matrix) -> tuple[np.ndarray, None]:
        return self._score_new_users(likes), None

    def _fused(self, logits: np.ndarray, likes: sparse.csr_matrix, similar_users: sparse.csr_matrix) -> np.ndarray:
        """Return the scores of all items, computed from the fused list of each user: float32 (b, n_items).

        Args:
            logits: Logits by RKGE, float32 (b, n_items).
            likes: Likes, CSR (b, n_items).
            similar_users: Similarities to the nearest training users, CSR (b, n_users).
        """
        liked = likes.toarray() > 0  # (b, n_items)
        by_items = sparse.csr_matrix(likes @ self.similar_items).toarray()
        by_users = sparse.csr_matrix(similar_users @ self.likes).toarray()
        cf = fuse(*(self._ranked(x, liked | (x <= 0)) for x in (by_items, by_users)), share=self.config.item_share)
        fused = fuse(cf, self._ranked(logits, liked), share=self.config.cf_share, length=logits.shape[1])
        scores = np.zeros_like(logits)
        own, values = self._best(logits, ~liked, int(liked.sum(axis=1).max(initial=0)))
        rows, places = np.nonzero(own >= 0)  # liked items, which score below the last rank
        scores[rows, own[rows, places]] = expit(values[rows, places]) / np.float32(logits.shape[1] + 1)
        rows, places = np.nonzero(fused >= 0)
        scores[rows, fused[rows, places]] = 1 / (places + 1)
        return scores

    def _ranked(self, scores: np.ndarray, left_out: np.ndarray) -> np.ndarray:
        """Return the items not in the mask `left_out`, best first: int64 (b, n_items), -1 after a list's end."""
        return self._best(scores, left_out, scores.shape[1])[0]

    def _best(self, scores: np.ndarray, left_out: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        ties = Ties.of_sizes(sizes_of_rows(scores), self._tie_places)
        return top_k(np.where(left_out, np.float32(-np.inf), scores), k, ties=ties)

    def _unfinished_block(self, users: np.ndarray) -> tuple[np.ndarray, None]:
        return self._score_block(users), None

    def _restore(self, arrays: dict[str, np.ndarray]) -> None:
        super()._restore(arrays)
        users, items = self._facts["likes"]
        ones = np.ones(len(users), dtype=np.float32)
        self._compare(sparse.csr_matrix((ones, (users, items)), shape=(len(self.user_keys), len(self.item_keys))))
