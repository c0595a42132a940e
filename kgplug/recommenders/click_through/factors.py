"""Models whose score is the product of two vectors plus two biases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
import torch
from scipy import sparse

from kgplug.data.erasure.user_arrays import UserArrays
from kgplug.data.ranking.threads import share
from kgplug.recommenders.click_through.logits import SIDE_ARRAYS, SIDE_ITEMS, LogitRecommender
from kgplug.recommenders.lists import SCORE_BLOCK_CELLS
from kgplug.recommenders.parts.operations.layers import average_cold
from kgplug.training.device import one_thread
from kgplug.training.tensors import tensor_of

_SCORED_PAIRS = 100_000  # pairs whose vectors are in memory at a time


@dataclass(frozen=True, eq=False)
class Factors:
    """Vectors and biases of score(u, i) = u · v_i + b_u + b_i, all float32.

    Attributes:
        users: User vectors, (n_users, d).
        items: Item vectors, (n_items, d).
        user_bias: User biases, (n_users,).
        item_bias: Item biases, (n_items,).
    """

    users: np.ndarray
    items: np.ndarray
    user_bias: np.ndarray
    item_bias: np.ndarray

    @classmethod
    def without_bias(cls, users: np.ndarray, items: np.ndarray) -> Factors:
        """Return factors with zero biases, from user vectors (n_users, d) and item vectors (n_items, d)."""
        users, items = (np.ascontiguousarray(x, dtype=np.float32) for x in (users, items))
        return cls(users, items, np.zeros(len(users), dtype=np.float32), np.zeros(len(items), dtype=np.float32))

    def averaged(self, likes: sparse.csr_matrix) -> Factors:
        """Return a copy in which users without likes have the mean vector and mean bias of the other users.

        Args:
            likes: Training likes, CSR (n_users, n_items).
        """
        users, bias = self.users.copy(), self.user_bias.copy()
        for rows in (users, bias):
            average_cold(tensor_of(rows), likes)
        return replace(self, users=users, user_bias=bias)

    @cached_property
    def by_item(self) -> np.ndarray:
        """Return a matrix whose columns are [item vector, 1, item bias], float32 (d + 2, n_items).

        The score of a pair is the dot product of [user vector, user bias, 1] and the item's column.
        """
        return np.vstack([self.items.T, np.ones(len(self.items), dtype=np.float32), self.item_bias])

    @cached_property
    def largest_item(self) -> tuple[float, float]:
        """Return the length of the longest item vector and the largest absolute item bias."""
        longest = np.linalg.norm(self.items, axis=1).max(initial=0)
        return float(longest), float(np.abs(self.item_bias).max(initial=0))

    def sizes(self, users: np.ndarray) -> np.ndarray:
        """Return an upper bound on the absolute scores of each user: ‖u‖ max ‖v_i‖ + |b_u| + max |b_i|, float32 (b,).

        Here u is the user's vector, v_i an item's vector, and b_u and b_i are their biases. The bound decides which
        scores differ only by rounding errors, and so count as tied.

        Args:
            users: Indices, int64 (b,).
        """
        longest, bias = self.largest_item
        lengths = np.linalg.norm(self.users[users], axis=1)
        return (lengths * np.float32(longest) + np.abs(self.user_bias[users]) + np.float32(bias)).astype(np.float32)

    def products(self, users: np.ndarray, bias: np.ndarray) -> np.ndarray:
        """Return the scores of all items for given users: a new array, float32 (b, n_items).

        Args:
            users: Vectors of the users, float32 (b, d).
            bias: Biases of the users, float32 (b,).
        """
        by_user, by_item = np.ascontiguousarray(users), self.by_item[: users.shape[1]]  # (b, d), (d, n_items)
        if self.item_bias.any() or bias.any():
            # As two more dimensions, biases cost almost nothing; adding them to the scores would read all scores again.
            by_user = np.column_stack([users, bias, np.ones(len(users), dtype=np.float32)])  # (b, d + 2)
            by_item = self.by_item
        if torch.get_num_threads() > 1:
            return by_user @ by_item
        # This call may be one of several in parallel threads, where numpy's products would wait for each other. So
        # torch computes the product. It writes into an array allocated by numpy, because allocation by torch is 10 %
        # slower with several threads.
        scores = np.empty((len(by_user), by_item.shape[1]), dtype=np.float32)
        torch.mm(tensor_of(by_user), tensor_of(by_item), out=tensor_of(scores))
        return scores


class FactorRecommender(LogitRecommender):
    """A recommender whose score is a product of two vectors plus biases.

    Attributes:
        factors: The vectors and biases, which are the result of the training.
    """

    # A block of scores has 8 MB per thread. So it is still in the cache when lists are made, and its memory is reused.
    score_block_cells = SCORE_BLOCK_CELLS // 8

    factors: Factors

    @property
    def makes_lists_quickly(self) -> bool:
        return True

    def _fill_blocks(self, fill: Callable[[slice], None], n_users: int) -> None:
        threads = torch.get_num_threads()  # one thread computes a whole block, so threads do not wait for others
        share(fill, self._blocks(n_users, threads), threads=threads, within=one_thread)

    def logits(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Return the product of both vectors plus both biases for each pair: int64 (n,), int64 (n,) → float32 (n,)."""
        f, scores = self.factors, np.empty(len(users), dtype=np.float32)
        for start in range(0, len(users), _SCORED_PAIRS):
            u, i = users[start : start + _SCORED_PAIRS], items[start : start + _SCORED_PAIRS]
            products = np.einsum("nd,nd->n", f.users[u], f.items[i])
            scores[start : start + len(u)] = products + f.user_bias[u] + f.item_bias[i]
        return scores

    def logits_of_all(self, users: np.ndarray) -> np.ndarray:
        """Return the product of both vectors plus both biases, for some users with every item.

        Args:
            users: Indices, int64 (b,).

        Returns:
            A new array, float32 (b, n_items).
        """
        return self.factors.products(self.factors.users[users], self.factors.user_bias[users])

    def _score_sizes(self, users: np.ndarray | None, scores: np.ndarray) -> np.ndarray:
        if users is None or self.side is not None:
            return super()._score_sizes(users, scores)
        return self.factors.sizes(users)

    def logits_of_new_users(self, likes: sparse.csr_matrix) -> np.ndarray:
        f = self.factors
        folded = self._folded(likes, f.items, np.column_stack([f.users, f.user_bias]))  # (b, d + 1)
        return f.products(folded[:, :-1], folded[:, -1])

    def item_vectors(self) -> np.ndarray:
        return self.factors.items

    def user_vectors(self) -> np.ndarray:
        return self.factors.users

    @classmethod
    def user_arrays(cls) -> UserArrays:
        return replace(
            SIDE_ARRAYS,
            rows=("users", "user_bias"),
            items=replace(
                SIDE_ITEMS,
                rows=("items", "item_bias"),
            ),
        )

    def _arrays(self) -> dict[str, np.ndarray]:
        return {field.name: getattr(self.factors, field.name) for field in fields(self.factors)}

    def _restore(self, arrays: dict[str, np.ndarray]) -> None:
        self.factors = Factors(**{name: arrays[name] for name in ("users", "items", "user_bias", "item_bias")})
