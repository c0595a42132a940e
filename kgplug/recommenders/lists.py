"""What a fitted recommender answers: ranked lists of items, and the numbers of keys."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import ClassVar

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

SCORE_BLOCK_CELLS = 16_000_000  # user × item scores held at a time (64 MB of float32)


class ListMaker(ABC):
    """Makes lists of items from the scores of a model; the part of `Recommender` that needs nothing but scores.

    Attributes:
        score_block_cells: user × item scores that `recommend` asks for at a time.
        erased_items: bool (n_items,), which are people who were erased, or None; they stand in no list.
        own_items: int64 (n_users,), the item that each user itself is, -1 without one, or None; it is in no list of
            its own, whatever else `recommend` is asked.
        scores_are_exact: whether scores are counts or places, which have no rounding: only equal ones are tied.
    """

    name: ClassVar[str]
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
        """Score all items for some users: int64 (b,) → a new array, float32 (b, n_items), in the order of `score`."""

    def _unfinished_block(self, users: np.ndarray) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray] | None]:
        """Return scores of all items that lack a last step, and that step as `top_k` takes it; None where none lacks.

        A model whose scores end with a sigmoid need not put all of them through it to rank them.
        """
        return self._score_block(users), None

    def _unfinished_newcomers(
        self, likes: sparse.csr_matrix
    ) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray] | None]:
        """Return the same for people who were not in the training; see `_score_newcomers`."""
        return self._score_newcomers(likes), None

    def _score_sizes(self, users: np.ndarray | None, scores: np.ndarray) -> np.ndarray:  # noqa: ARG002
        """Return the size of the terms that each user's scores are sums of, float32 (b,).

        Rounding is relative to it, and scores that differ by rounding alone are tied (`kgplug.data.ranking.ties`). By
        default it is the largest score.

        Args:
            users: int64 (b,); None: people who were not in the training.
            scores: float32 (b, n_items), before their last step.
        """
        return np.zeros(len(scores), dtype=np.float32) if self.scores_are_exact else sizes_of_rows(scores)

    @property
    @abstractmethod
    def _tie_places(self) -> np.ndarray:
        """The place of each item among tied ones, int32 (n_items,)."""

    @abstractmethod
    def _score_newcomers(self, likes: sparse.csr_matrix) -> np.ndarray:
        """Score all items for people who were not in the training.

        Args:
            likes: CSR float32 (b, n_items), binary; a row may be empty.

        Returns:
            a new array, float32 (b, n_items), on the scale of `score`.
        """

    def item_vectors(self) -> np.ndarray | None:
        """Return float32 (n_items, d), or None where the model has no item vectors."""
        return None

    def recommend(
        self,
        users: np.ndarray,
        k: int = 10,
        *,
        exclude_seen: bool = True,
        also_seen: Interactions | None = None,
        only: np.ndarray | None = None,
        exclude: np.ndarray | None = None,
        diversity: float = 0.0,
        vectors: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rank items for users.

        Scores that differ by rounding alone are tied. Tied items stand in the order of their popularity (training
        likes), then of their number, and share one score. So blocks, threads and processors do not change a list.

        Args:
            users: int64 (n,), or one number.
            k: length of a list; more than there are items gives shorter lists, not an error.
            exclude_seen: leave out the items of the user's training rows.
            also_seen: more rows whose items are left out (validation and test part, say); users and
                items that the model does not know are passed over.
            only: item numbers, or a mask bool (n_items,): no other item stands in a list.
            exclude: the same of items that stand in no list. `item_numbers` gives the numbers of keys.
            diversity: from 0 to 1, how much an item's likeness to those before it counts against it
                (`kgplug.data.ranking.diversity.rerank`); the best 10 k items are candidates. The list then is in
                the order of choice, with the same scores as ever.
            vectors: float32 (n_items, d) by which items are alike; `item_vectors()`, if not given.

        Returns:
            (items, scores): int64 and float32 (n, min(k, n_items)); best first; where a list is
            shorter, -1 and -inf at its end. -1 is not an item: take `items[items >= 0]` before you look up keys,
            as `item_keys[-1]` is the last item's.

        Raises:
            UsageError: an argument is wrong, or diversity is asked of a model without item vectors.
        """
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
        """Call `fill` with every block of users."""
        for rows in self._blocks(n_users):
            fill(rows)

    def _blocks(self, n_users: int, threads: int = 1) -> list[slice]:
        """Return blocks of users of at most `score_block_cells` scores each: one, or as many for every thread."""
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
        """Rank items for somebody who was not in the training, from what they like.

        Models of similar items score by the likes as ever. Models with user vectors make one
        (`kgplug.recommenders.newcomers.FoldIn`). Somebody without likes gets what the average user gets.

        Args:
            likes: item numbers int64 (n,), or one number, as `item_numbers` gives them for keys; they are left out of
                the list.
            k: length of the list, shorter where fewer items are left.
            only, exclude, diversity, vectors: as in `recommend`.

        Returns:
            (items, scores): int64 and float32 (k,), best first.

        Raises:
            UsageError: an argument is wrong.
        """
        self._check_trained()
        choice = self._choice(k, only, exclude, diversity, vectors)
        liked = item_mask("likes", np.reshape(likes, 1) if np.ndim(likes) == 0 else likes, len(self.item_keys))
        scores, finish = self._unfinished_newcomers(sparse.csr_matrix(liked[None], dtype=np.float32))
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
        """Check the options of `recommend`."""
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
                f"{self.name} has no item vectors to tell by how much items differ: give those of an embedding "
                "(vectors=…, --diverse-by RUN), or leave out diversity."
            )
        return ListChoice(min(k, n_items), out, float(diversity), check_vectors(vectors, n_items))

    def _excluded(self, exclude_seen: bool, also_seen: Interactions | None) -> sparse.csr_matrix | None:
        seen = self.seen if exclude_seen else None
        if also_seen is None:
            return seen
        more = also_seen.aligned_to(self.user_keys, self.item_keys).matrix()
        return more if seen is None else (seen + more).tocsr()

    def _user_rows(self, users: np.ndarray) -> np.ndarray:
        """Return row numbers of users as int64, refusing others with a `UsageError`."""
        self._check_trained()
        return as_indices(users, len(self.user_keys), "users")

    def _item_rows(self, items: np.ndarray) -> np.ndarray:
        """Return row numbers of items as int64, refusing others with a `UsageError`."""
        self._check_trained()
        return as_indices(items, len(self.item_keys), "items")

    def _pair_rows(self, users: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return row numbers of the users and the items of pairs, int64 (n,) both; one user or item goes with all."""
        users, items = self._user_rows(users), self._item_rows(items)
        if len(users) == len(items):
            return users, items
        if 1 not in (len(users), len(items)):
            raise UsageError(f"Pairs: expected as many users as items, found {len(users):,} and {len(items):,}.")
        return (np.repeat(users, len(items)), items) if len(users) == 1 else (users, np.repeat(items, len(users)))

    def _check_trained(self) -> None:
        if not hasattr(self, "item_keys"):
            raise UsageError(f"{self.name} is not trained yet: call fit(…) first, or load a run with kgplug.load(…).")

    def user_number(self, key: int | str) -> int:
        """Return the row number of a user key; an unknown one raises `UsageError`."""
        return _number(key, self.user_keys, self.user_label or "user", self.name)

    def item_number(self, key: int | str) -> int:
        """Return the row number of an item key; an unknown one raises `UsageError`."""
        return _number(key, self.item_keys, self.item_label or "item", self.name)

    def item_numbers(self, keys: Iterable[int | str], *, skip_unknown: bool = False) -> np.ndarray:
        """Return the row numbers of item keys, int64 (n,).

        Args:
            keys: of items.
            skip_unknown: pass over keys that the model does not know, where else they raise `UsageError`.
        """
        wanted = as_keys(keys, what=f"{self.item_label or 'item'} keys")
        numbers = pd.Index(self.item_keys, dtype=object).get_indexer(pd.Index(wanted, dtype=object))
        if not skip_unknown and (numbers < 0).any():
            self.item_number(wanted[numbers < 0][0])  # says what is wrong
        return numbers[numbers >= 0].astype(np.int64)


def _number(key: int | str, keys: np.ndarray, what: str, model: str) -> int:
    is_key = isinstance(key, (str, int, float, np.number)) and not isinstance(key, bool)
    found = np.flatnonzero(keys == key) if is_key else ()
    if len(found) == 0:
        examples = ", ".join(repr(value) for value in keys[:3])
        raise UsageError(f"{model} knows no {what} {key!r}; it knows {len(keys):,}, such as {examples}.")
    return int(found[0])
