"""Methods of a trained recommender: ranked lists of items, and indices of keys."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, overload

import numpy as np
import pandas as pd
from scipy import sparse

from kgplug.data.interactions import Interactions
from kgplug.data.own_items import leave_out_own
from kgplug.data.ranking.choice import ListChoice, check_diversity, check_vectors, excluded_items, item_mask
from kgplug.data.ranking.threads import row_blocks
from kgplug.data.ranking.ties import Ties, sizes_of_rows
from kgplug.data.ranking.top_k import leave_out
from kgplug.data.values.keys import as_keys
from kgplug.data.values.whole_numbers import as_indices, is_whole
from kgplug.errors import UsageError
from kgplug.renamed import replaced

SCORE_BLOCK_CELLS = 16_000_000  # maximum number of user × item scores in memory at a time (64 MB of float32)


class ListMaker(ABC):
    """The part of `Recommender` that makes lists of items from scores.

    Attributes:
        score_block_cells: Maximum number of user × item scores that `recommend` computes at a time.
        erased_items: Mask of the items that are also users and were erased by `kgplug erase-user`, bool (n_items,), or
            None if there are none. These items are left out of all lists.
        own_items: Item index of each user who is also an item, int64 (n_users,), -1 for other users; None if no user
            is an item. A user's list never contains the user.
        scores_are_exact: Whether scores are free of rounding errors, as counts and ranks are. Then only equal scores
            are tied; otherwise, scores that differ only by rounding errors are also tied.
    """

    name: str
    score_block_cells: ClassVar[int] = SCORE_BLOCK_CELLS
    own_items: np.ndarray | None = None
    erased_items: np.ndarray | None = None
    scores_are_exact: ClassVar[bool] = False

    user_keys: np.ndarray
    item_keys: np.ndarray
    user_label: str
    item_label: str
    seen: sparse.csr_matrix

    @abstractmethod
    def _score_block(self, users: np.ndarray) -> np.ndarray:
        """Return the scores of all items for some users: int64 (b,) → a new array, float32 (b, n_items).

        The scores are the same as those of `score`.
        """

    def _unfinished_block(self, users: np.ndarray) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray] | None]:
        """Return scores of all items for some users, and the function that finishes them.

        A model whose last step is a sigmoid can return logits and the sigmoid. Logits rank items in the same order, so
        only the scores of listed items need the sigmoid.

        Args:
            users: Indices, int64 (b,).

        Returns:
            (scores, function): a new array, float32 (b, n_items), and an elementwise function that turns these scores
            into those of `score`; None if they are the same.
        """
        return self._score_block(users), None

    def _unfinished_new_users(
        self, likes: sparse.csr_matrix
    ) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray] | None]:
        """Return what `_unfinished_block` returns, but for new users; `likes` is as in `_score_new_users`."""
        return self._score_new_users(likes), None

    def _score_sizes(self, users: np.ndarray | None, scores: np.ndarray) -> np.ndarray:  # noqa: ARG002
        """Return the magnitude of each user's scores, from which their rounding errors are estimated.

        Scores that differ only by rounding errors count as tied (`kgplug.data.ranking.ties`). The magnitude is the
        user's largest absolute score, or 0 if `scores_are_exact`. A model that sums larger terms to a score returns the
        size of these terms.

        Args:
            users: Indices, int64 (b,); None for new users.
            scores: Scores before the last step of scoring, float32 (b, n_items).

        Returns:
            float32 (b,).
        """
        return np.zeros(len(scores), dtype=np.float32) if self.scores_are_exact else sizes_of_rows(scores)

    @property
    @abstractmethod
    def _tie_places(self) -> np.ndarray:
        """Rank of each item, int32 (n_items,). Of items with tied scores, the one with the lowest rank comes first."""

    @abstractmethod
    def _score_new_users(self, likes: sparse.csr_matrix) -> np.ndarray:
        """Score all items for new users.

        Args:
            likes: Likes of each user, CSR float32 (b, n_items), binary; a row may be empty.

        Returns:
            A new array, float32 (b, n_items), on the scale of `score`.
        """

    def item_vectors(self) -> np.ndarray | None:
        """Return the item vectors, float32 (n_items, d); None if the model has none."""
        return None

    @overload
    def recommend(
        self,
        user_indices: Any,
        k: int = 10,
        *,
        exclude_seen: bool = True,
        also_seen: Interactions | None = None,
        only: Any = None,
        exclude: Any = None,
        diversity: float = 0.0,
        vectors: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]: ...

    @overload
    def recommend(
        self,
        *,
        users: Iterable[int | str] | int | str,
        k: int = 10,
        exclude_seen: bool = True,
        also_seen: Interactions | None = None,
        only: Iterable[int | str] | None = None,
        exclude: Iterable[int | str] | None = None,
        diversity: float = 0.0,
        vectors: np.ndarray | None = None,
    ) -> pd.DataFrame: ...

    def recommend(
        self,
        user_indices: Any = None,
        k: int = 10,
        *,
        users: Iterable[int | str] | int | str | None = None,
        exclude_seen: bool = True,
        also_seen: Interactions | None = None,
        only: Any = None,
        exclude: Any = None,
        diversity: float = 0.0,
        vectors: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray] | pd.DataFrame:
        """Rank items for users. Keys of users give a table; indices of users give arrays, which is faster.

        >>> model.recommend(users=["ann", "ben"], k=10)  # a DataFrame of user, item, rank and score
        >>> items, scores = model.recommend(np.arange(len(model.user_keys)), k=10)  # two arrays

        Scores that differ only by rounding errors count as tied. Tied items get the same score, and are ordered by
        popularity (number of training likes), then by index. So lists do not depend on the sizes of blocks, the number
        of threads or the processor.

        Args:
            user_indices: Indices of users, int64 (n,), or one index; faster than keys.
            users: Keys of users, or one key, instead of `user_indices`.
            k: Length of a list. If there are fewer items, lists are shorter.
            exclude_seen: Whether to leave out the items that the user has in the training set.
            also_seen: More interactions, such as the validation and test set. A user's items in these interactions are
                also left out of the user's list. Users and items that the model does not know are skipped.
            only: Items that may be in a list: keys with `users`; otherwise indices, or a mask bool (n_items,).
            exclude: Items to leave out of all lists, in the same form as `only`. To get indices of keys, call
                `item_indices`.
            diversity: 0 to 1: penalty for being similar to items higher in the list (maximal marginal relevance,
                `kgplug.data.ranking.diversity.rerank`). The candidates are the 10 · k items with the highest scores.
                The list is in the order in which items are chosen, so its scores may not be sorted.
            vectors: Item vectors that `diversity` compares, float32 (n_items, d). Default: `item_vectors()`.

        Returns:
            With `users`, a DataFrame with the columns user, item, rank (from 1) and score.
            Otherwise (items, scores), int64 and float32 (n, min(k, n_items)), best first. If a list is shorter, it
            ends with -1 and -inf. -1 is not an item: use `items[items >= 0]` to look up keys, because `item_keys[-1]`
            is the last item's key.

        Raises:
            UsageError: An argument is wrong, or `diversity` is used with a model without item vectors.
        """
        options: dict[str, Any] = {
            "exclude_seen": exclude_seen, "also_seen": also_seen, "diversity": diversity, "vectors": vectors,
        }  # fmt: skip
        if users is None:
            if user_indices is None:
                self._check_trained()
                raise UsageError(
                    f"users: expected indices from 0 to {len(self.user_keys) - 1}, found neither indices nor keys. "
                    "model.user_index(key) returns the index of a key; users=[keys] takes keys."
                )
            return self._recommend(user_indices, k, only=only, exclude=exclude, **options)
        if user_indices is not None:
            raise UsageError("recommend: give users=[keys] or indices of users, not both.")
        indices = self.user_indices(users)
        allowed, left_out = (None if keys is None else self.item_indices(keys) for keys in (only, exclude))
        items, scores = self._recommend(indices, k, only=allowed, exclude=left_out, **options)
        rows, ranks = np.nonzero(items >= 0)
        return pd.DataFrame({
            "user": self.user_keys[indices[rows]],
            "item": self.item_keys[items[rows, ranks]],
            "rank": ranks + 1,
            "score": scores[rows, ranks],
        })  # fmt: skip

    def _recommend(
        self,
        users: np.ndarray,
        k: int,
        *,
        exclude_seen: bool,
        also_seen: Interactions | None,
        only: np.ndarray | None,
        exclude: np.ndarray | None,
        diversity: float,
        vectors: np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        users = self._user_rows(users)
        seen = self._excluded(exclude_seen, also_seen)
        choice, places = self._choice(k, only, exclude, diversity, vectors), self._tie_places
        items = np.empty((len(users), choice.k), dtype=np.int64)
        scores = np.empty((len(users), choice.k), dtype=np.float32)

        def fill(rows: slice) -> None:
            block_scores, finish = self._unfinished_block(users[rows])  # (b, n_items)
            ties = Ties.of_sizes(self._score_sizes(users[rows], block_scores), places)
            if seen is not None:
                leave_out(block_scores, users[rows], seen)
            leave_out_own(block_scores, users[rows], self.own_items)
            items[rows], scores[rows] = choice.make(block_scores, finish, ties)

        self._fill_blocks(fill, len(users))
        return items, scores

    def _fill_blocks(self, fill: Callable[[slice], None], n_users: int) -> None:
        """Call `fill` with each block of users, a slice of `range(n_users)`."""
        for rows in self._blocks(n_users):
            fill(rows)

    def _blocks(self, n_users: int, threads: int = 1) -> list[slice]:
        """Divide users into blocks, each with at most `score_block_cells` scores, and return the blocks as slices.

        If the users do not fit in one block, the number of blocks is a multiple of `threads`, so that all threads get
        equally many blocks.
        """
        rows = max(1, self.score_block_cells // max(1, len(self.item_keys)))
        if n_users > rows:
            blocks = threads * -(-n_users // (threads * rows))
            rows = -(-n_users // blocks)
        return row_blocks(n_users, rows)

    def recommend_for(
        self,
        likes: np.ndarray,
        k: int = 10,
        *,
        only: np.ndarray | None = None,
        exclude: np.ndarray | None = None,
        diversity: float = 0.0,
        vectors: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rank items for a new user, given the items that this user likes.

        Models of item similarity compare items with the likes directly. Models with user vectors first compute a vector
        for the new user from the likes (`kgplug.recommenders.new_users.FoldIn`). A user without likes gets the average
        user's list.

        Args:
            likes: Indices of the liked items, int64 (n,), or one index; `item_indices` turns keys into indices. These
                items are left out of the list.
            k: Length of the list; it is shorter if fewer items are left.
            only, exclude, diversity, vectors: As in `recommend`.

        Returns:
            (items, scores): int64 and float32 (at most k,), best first.

        Raises:
            UsageError: An argument is wrong.
        """
        self._check_trained()
        choice = self._choice(k, only, exclude, diversity, vectors)
        liked = item_mask("likes", np.reshape(likes, 1) if np.ndim(likes) == 0 else likes, len(self.item_keys))
        scores, finish = self._unfinished_new_users(sparse.csr_matrix(liked[None], dtype=np.float32))
        ties = Ties.of_sizes(self._score_sizes(None, scores), self._tie_places)
        scores[:, liked] = -np.inf
        items, values = choice.make(scores, finish, ties)
        listed = items[0] >= 0
        return items[0][listed], values[0][listed]

    def _choice(
        self,
        k: int,
        only: np.ndarray | None,
        exclude: np.ndarray | None,
        diversity: float,
        vectors: np.ndarray | None,
    ) -> ListChoice:
        """Check the options of `recommend`, and return them as a `ListChoice`, which makes lists from scores."""
        n_items = len(self.item_keys)
        if not is_whole(k) or k < 1:
            raise UsageError(f"k must be at least 1; found {k!r}. Give the length of a list, a whole number.")
        k = int(k)
        out = excluded_items(only, exclude, n_items)
        if self.erased_items is not None:
            out = self.erased_items if out is None else out | self.erased_items
        if check_diversity(diversity) == 0:
            return ListChoice(min(k, n_items), out)
        vectors = self.item_vectors() if vectors is None else vectors
        if vectors is None:
            raise UsageError(
                f"{self.name} has no item vectors to compare items for diversity. Give vectors of an embedding "
                "(vectors=…, --diverse-by RUN), or omit diversity."
            )
        return ListChoice(min(k, n_items), out, float(diversity), check_vectors(vectors, n_items))

    def _excluded(self, exclude_seen: bool, also_seen: Interactions | None) -> sparse.csr_matrix | None:
        seen = self.seen if exclude_seen else None
        if also_seen is None:
            return seen
        more = also_seen.aligned_to(self.user_keys, self.item_keys).matrix()
        return more if seen is None else (seen + more).tocsr()

    def _user_rows(self, users: np.ndarray) -> np.ndarray:
        """Return user indices as int64; UsageError if one is out of range."""
        self._check_trained()
        return as_indices(users, len(self.user_keys), "users")

    def _item_rows(self, items: np.ndarray) -> np.ndarray:
        """Return item indices as int64; UsageError if one is out of range."""
        self._check_trained()
        return as_indices(items, len(self.item_keys), "items")

    def _pair_rows(self, users: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return user and item indices of pairs, int64 (n,) each.

        A single user is paired with each item, a single item with each user.
        """
        users, items = self._user_rows(users), self._item_rows(items)
        if len(users) == len(items):
            return users, items
        if 1 not in (len(users), len(items)):
            raise UsageError(f"Pairs: expected as many users as items, found {len(users):,} and {len(items):,}.")
        return (np.repeat(users, len(items)), items) if len(users) == 1 else (users, np.repeat(items, len(users)))

    def _check_trained(self) -> None:
        if not hasattr(self, "item_keys"):
            raise UsageError(f"{self.name} is not trained yet: call fit(…) first, or load a run with kgplug.load(…).")

    def user_index(self, key: int | str) -> int:
        """Return the index of a user key; an unknown key raises `UsageError`."""
        return _index(key, self.user_keys, self.user_label or "user", self.name)

    def item_index(self, key: int | str) -> int:
        """Return the index of an item key; an unknown key raises `UsageError`."""
        return _index(key, self.item_keys, self.item_label or "item", self.name)

    def user_indices(self, keys: Iterable[int | str] | int | str, *, skip_unknown: bool = False) -> np.ndarray:
        """Return the indices of user keys, int64 (n,); see `item_indices`."""
        self._check_trained()
        return _indices(keys, self.user_keys, self.user_label or "user", self.user_index, skip_unknown=skip_unknown)

    def item_indices(self, keys: Iterable[int | str] | int | str, *, skip_unknown: bool = False) -> np.ndarray:
        """Return the indices of item keys, int64 (n,).

        Args:
            keys: Keys of items, or one key.
            skip_unknown: Skip keys that the model does not know; otherwise they raise `UsageError`.
        """
        self._check_trained()
        return _indices(keys, self.item_keys, self.item_label or "item", self.item_index, skip_unknown=skip_unknown)

    user_number = replaced("user_number", "user_index", user_index)
    item_number = replaced("item_number", "item_index", item_index)
    item_numbers = replaced("item_numbers", "item_indices", item_indices)


def _indices(
    keys: Iterable[int | str] | int | str,
    known: np.ndarray,
    label: str,
    one: Callable[[Any], int],
    *,
    skip_unknown: bool,
) -> np.ndarray:
    """Return the positions of keys in `known`, int64 (n,).

    Args:
        keys: Keys to look up, or one key.
        known: All known keys, object (m,).
        label: What the keys identify, for error messages.
        one: Function that looks up a single key. It is called with the first unknown key, to raise its error.
        skip_unknown: Skip unknown keys instead.
    """
    wanted = as_keys([keys] if isinstance(keys, (int, str)) else keys, what=f"{label} keys")
    indices = pd.Index(known, dtype=object).get_indexer(pd.Index(wanted, dtype=object))
    if not skip_unknown and (indices < 0).any():
        one(wanted[indices < 0][0])  # raises an error that names the key
    return indices[indices >= 0].astype(np.int64)


def _index(key: object, keys: np.ndarray, what: str, model: str) -> int:
    is_key = isinstance(key, (str, int, float, np.number)) and not isinstance(key, bool)
    found = np.flatnonzero(keys == key) if is_key else ()
    if len(found) == 0:
        examples = ", ".join(repr(value) for value in keys[:3])
        raise UsageError(f"{model} does not know {what} {key!r}. It knows {len(keys):,}, such as {examples}.")
    return int(found[0])
