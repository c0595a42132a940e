"""Who liked what: user-item feedback as integer arrays, with stable keys."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
from scipy import sparse

from kgplug.data import own_items as own
from kgplug.data.repeated import Repeated, how_merged, last_of_each, merged_ratings
from kgplug.data.splitting import hash_keys, hash_pairs, split_rows, split_rows_by_position
from kgplug.data.values.columns import (
    as_like_threshold,
    check_columns,
    check_lengths,
    read_indices,
    read_ratings,
    read_timestamps,
)
from kgplug.data.values.keys import as_column, as_keys, factorize, fingerprint
from kgplug.data.values.texts import as_texts
from kgplug.data.values.times import TimeUnit, check_unit
from kgplug.errors import DataError, UsageError
from kgplug.plain_text import counted
from kgplug.renamed import renamed

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Interactions:
    """User-item feedback. Parts of a split share the keys, hence the row numbers.

    Attributes:
        user_keys: object (n_users,), every user, those without feedback included.
        item_keys: object (n_items,), the whole catalogue.
        users: int64 (n,), row numbers into `user_keys`.
        items: int64 (n,), row numbers into `item_keys`.
        ratings: float32 (n,), or None where feedback has no value.
        timestamps: int64 (n,), in `time_unit` since the start of 1970 in UTC, or None.
        like_threshold: a row is a like if its rating is at least this, both as float32; None: every row is a like.
        user_label, item_label: node labels in the graph, "" without one.
        item_texts: object (n_items,) of str, a title or more of each item, "" without one; or None.
        own_items: int64 (n_users,), the item that a user itself is, -1 where it is none; None where no user is an
            item. No row, no negative and no list holds a user and itself.
        time_unit: "s", "ms", "us" or "ns": the coarsest that holds all times exactly. Nanoseconds reach from 1677 to
            2262; times outside stand at the end of that range, in their order (`kgplug.data.values.times`).
        counts: int64 (n,), how many rows of the source each row stands for; None: one each.
        ratings_are_counts: whether the ratings are these counts.
        graph_schema: of the graph from which the rows were read, None for other sources.
    """

    user_keys: np.ndarray
    item_keys: np.ndarray
    users: np.ndarray
    items: np.ndarray
    ratings: np.ndarray | None = None
    timestamps: np.ndarray | None = None
    like_threshold: float | None = None
    user_label: str = ""
    item_label: str = ""
    item_texts: np.ndarray | None = None
    own_items: np.ndarray | None = None
    time_unit: TimeUnit = "s"
    counts: np.ndarray | None = None
    ratings_are_counts: bool = False
    graph_schema: dict | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "like_threshold", as_like_threshold(self.like_threshold))
        check_unit(self.time_unit)

    @classmethod
    @renamed(threshold="like_threshold")
    def from_dataframe(
        cls,
        frame: pd.DataFrame,
        *,
        user: Hashable,
        item: Hashable,
        rating: Hashable | None = None,
        timestamp: Hashable | None = None,
        like_threshold: float | None = None,
        items: Iterable[int | str] = (),
        users_are_items: bool = False,
        repeated: Repeated | None = None,
        time_unit: TimeUnit | None = None,
    ) -> Interactions:
        """Build interactions from one row per feedback; several rows for one pair become one.

        Ratings are numbers, or booleans: true is a like and false a dislike. Timestamps are dates, or numbers since
        1970 in one unit: seconds up to 1e11, milliseconds up to 1e14, microseconds up to 1e17, else nanoseconds. Dates
        without a time zone count as UTC.

        Args:
            frame: one row per feedback.
            user, item, rating, timestamp: names of its columns.
            like_threshold: the lowest rating that counts as a like; None: every row is a like.
            items: keys of more items, which may stand in lists though nobody has given feedback on them.
            users_are_items: whether a user and an item with the same key are the same, such as people who follow
                people. Rows of a user with itself are left out, and nobody is recommended to themselves.
            repeated: what becomes of several rows for one pair: "last", "sum", "mean" or "count" (`from_arrays`).
            time_unit: of timestamps that are numbers: "s", "ms", "us" or "ns"; None: it follows from their sizes.

        Raises:
            DataError: a column is missing, a key is null, a rating or timestamp is unusable, or there is no row.
            UsageError: an argument is wrong.
        """
        check_columns(frame, [user, item, *(column for column in (rating, timestamp) if column is not None)])
        if time_unit is not None:
            check_unit(time_unit)
        users, user_keys = factorize(as_column(frame[user], what=f'column "{user}"'))
        named, more = as_column(frame[item], what=f'column "{item}"'), as_keys(items, what="items")
        numbers, item_keys = factorize(np.concatenate([named.astype(object), more]) if len(more) else named)
        times = None if timestamp is None else read_timestamps(frame[timestamp], str(timestamp), unit=time_unit)
        ratings, booleans = (None, False) if rating is None else read_ratings(frame[rating], str(rating))
        return cls.from_arrays(
            user_keys,
            item_keys,
            users,
            numbers[: len(named)],
            ratings=ratings,
            timestamps=None if times is None else times.values,
            like_threshold=1 if booleans and like_threshold is None else like_threshold,
            users_are_items=users_are_items,
            time_unit="s" if times is None else times.unit,
            repeated=repeated,
        )

    @classmethod
    @renamed(threshold="like_threshold")
    def from_arrays(
        cls,
        user_keys: np.ndarray,
        item_keys: np.ndarray,
        users: np.ndarray,
        items: np.ndarray,
        *,
        ratings: np.ndarray | None = None,
        timestamps: np.ndarray | None = None,
        like_threshold: float | None = None,
        user_label: str = "",
        item_label: str = "",
        item_texts: np.ndarray | None = None,
        own_items: np.ndarray | None = None,
        users_are_items: bool = False,
        time_unit: TimeUnit = "s",
        repeated: Repeated | None = None,
    ) -> Interactions:
        """Sort rows by user and item; several rows for one pair become one, with the latest of their times.

        Its rating is by `repeated`:

        - "last": the rating of the latest row, of equal times of the last one. The default if there are ratings.
        - "sum", "mean": of the ratings.
        - "count": the number of rows. The default without ratings, if a pair is repeated at all: 100 plays are a
          rating of 100. By default such ratings make no dislikes: `like_threshold` is ignored.

        `like_threshold` is compared with the result. `user_keys` and `item_keys` must already be unique and in
        canonical order, as `kgplug.data.values.keys.factorize` returns them. Rows of a user with itself are left out,
        and logged.

        Args:
            own_items: int64 (n_users,), which item each user is, -1 where it is none.
            users_are_items: whether users and items with the same key are the same; they also are where both have
                the same label.

        Raises:
            DataError: a rating is not a finite number, arrays do not fit together, or every row is of a user with
                itself.
            UsageError: `repeated` is not one of these words, or "sum" or "mean" without ratings.
        """
        users, items = read_indices(users, user_keys, "users"), read_indices(items, item_keys, "items")
        if ratings is not None:
            ratings, booleans = read_ratings(ratings, "ratings")
            like_threshold = 1 if booleans and like_threshold is None else like_threshold
        if timestamps is not None and np.asarray(timestamps).dtype.kind != "i":
            times = read_timestamps(timestamps, "timestamps", unit=time_unit)
            timestamps, time_unit = times.values, times.unit
        check_lengths(users=users, items=items, ratings=ratings, timestamps=timestamps)
        if own_items is None and (users_are_items or (user_label and user_label == item_label)):
            own_items = own.same_keys_as(user_keys, item_keys)
        if own_items is not None and (itself := own_items[users] == items).any():
            others = ~itself
            _log.warning("Left out %s whose user and item are the same.", counted(int(itself.sum()), "row"))
            if not others.any():
                raise DataError(
                    f"Interactions: user and item are the same in all {len(users):,} rows. "
                    "Expected feedback of users on other nodes."
                )
            users, items = users[others], items[others]
            ratings = None if ratings is None else ratings[others]
            timestamps = None if timestamps is None else np.asarray(timestamps)[others]
        pairs = users * np.int64(len(item_keys)) + items
        rows, counts = last_of_each(pairs, timestamps)
        how = how_merged(repeated, ratings, counts)
        if how is None:
            merged = None if ratings is None else ratings[rows]
        else:
            merged = merged_ratings(how, pairs, pairs[rows], counts, ratings)
        return cls(
            np.asarray(user_keys, dtype=object),
            np.asarray(item_keys, dtype=object),
            users[rows],
            items[rows],
            merged,
            None if timestamps is None else np.asarray(timestamps, dtype=np.int64)[rows],
            None if how == "count" and repeated is None else like_threshold,
            user_label,
            item_label,
            item_texts,
            own_items,
            time_unit,
            counts,
            how == "count",
        )

    @property
    def n_users(self) -> int:
        return len(self.user_keys)

    @property
    def n_items(self) -> int:
        return len(self.item_keys)

    def __len__(self) -> int:
        return len(self.users)

    @cached_property
    def is_like(self) -> np.ndarray:
        """bool (n,): which rows count as a like."""
        if self.like_threshold is None or self.ratings is None:
            return np.ones(len(self), dtype=bool)
        with np.errstate(over="ignore"):
            return self.ratings >= np.float32(self.like_threshold)

    @cached_property
    def pairs(self) -> np.ndarray:
        """int64 (n,): one number a (user, item) pair, `user * n_items + item`; ascending as rows are sorted."""
        return self.users * np.int64(self.n_items) + self.items

    @cached_property
    def own_pairs(self) -> np.ndarray:
        """int64 (m,): the pair of each user that is an item with itself, numbered as `pairs`, ascending."""
        if self.own_items is None:
            return np.empty(0, dtype=np.int64)
        users = np.flatnonzero(self.own_items >= 0)
        return users * np.int64(self.n_items) + self.own_items[users]

    def likes(self) -> Interactions:
        """Return the rows that are likes."""
        return self.take(self.is_like)

    def take(self, rows: np.ndarray) -> Interactions:
        """Return some rows (mask or row numbers) over the same users and items."""
        return replace(
            self,
            users=self.users[rows],
            items=self.items[rows],
            ratings=None if self.ratings is None else self.ratings[rows],
            timestamps=None if self.timestamps is None else self.timestamps[rows],
            counts=None if self.counts is None else self.counts[rows],
        )

    def same_keys(self, user_keys: np.ndarray, item_keys: np.ndarray) -> bool:
        """Tell whether users and items are numbered as under these keys."""
        pairs = ((self.user_keys, user_keys), (self.item_keys, item_keys))
        return all(mine is other or np.array_equal(mine, other) for mine, other in pairs)

    def aligned_to(self, user_keys: np.ndarray, item_keys: np.ndarray) -> Interactions:
        """Return the rows whose user and item are among other keys, numbered as there.

        Args:
            user_keys, item_keys: object arrays, unique, in canonical order.
        """
        if self.same_keys(user_keys, item_keys):
            return self
        user_rows = pd.Index(user_keys, dtype=object).get_indexer(pd.Index(self.user_keys, dtype=object))
        item_rows = pd.Index(item_keys, dtype=object).get_indexer(pd.Index(self.item_keys, dtype=object))
        users, items = user_rows[self.users], item_rows[self.items]
        known = (users >= 0) & (items >= 0)
        aligned = replace(
            self.take(known), user_keys=user_keys, item_keys=item_keys, users=users[known], items=items[known],
            own_items=None if self.own_items is None else own.renumbered(
                self.own_items, user_rows, item_rows, len(user_keys)
            ),
        )  # fmt: skip
        if self.item_texts is None:
            return aligned
        return aligned.with_texts(dict(zip(self.item_keys, self.item_texts, strict=True)))

    def with_like_threshold(self, like_threshold: float | None) -> Interactions:
        """Return the same rows under another definition of a like."""
        return replace(self, like_threshold=like_threshold)

    def with_texts(self, texts: Mapping[int | str, object]) -> Interactions:
        """Return the same rows with texts of items, such as titles; items that are not named get "".

        Args:
            texts: item key → text; numbers and lists become text, what is missing "" (`kgplug.data.values.texts`).
        """
        return replace(self, item_texts=as_texts(texts.get(key) for key in self.item_keys))

    @cached_property
    def texts_fingerprint(self) -> str | None:
        """sha256 of the texts, which `fingerprint` leaves out as few models read them; None without texts."""
        return None if self.item_texts is None else fingerprint(self.item_texts)

    @cached_property
    def row_hashes(self) -> np.ndarray:
        """uint64 (n,): a number for each row that follows from the keys of its user and item alone.

        It is the same on every machine, and in every graph or DataFrame that holds the pair, so that rows can be
        found again when others have come or gone.
        """
        return hash_pairs(hash_keys(self.user_keys)[self.users], hash_keys(self.item_keys)[self.items])

    def split(
        self,
        fractions: Sequence[float],
        *,
        seed: int = 0,
        by: Literal["user", "row"] = "user",
        order: Literal["random", "time"] = "random",
        method: Literal["keys", "positions"] = "keys",
    ) -> tuple[Interactions, ...]:
        """Split rows into parts.

        A row's part follows from its keys and the seed: one row more or less moves at most one other row across each
        cut. Every user has its share of each part on average over seeds, also with a single row. A part that is
        split again needs another seed.

        Args:
            fractions: share of each part, adding up to 1, e.g. (0.8, 0.1, 0.1).
            seed: Seed of the shuffle and of the remainders; with `order="time"`, of rows of equal times.
            by: "user" gives each user's rows to the parts in these shares; "row" ignores users.
            order: "random", or "time": earlier rows to earlier parts.
            method: "positions" splits as earlier versions of kgplug did; for runs that they saved.

        Raises:
            UsageError: a share, the seed or a word is wrong.
            DataError: `order="time"` without timestamps.
        """
        if method == "positions":
            part = split_rows_by_position(
                self.users, self.timestamps, fractions=fractions, seed=seed, by=by, order=order
            )
        elif method == "keys":
            part = split_rows(
                self.users, self.timestamps, row_hashes=self.row_hashes, user_hashes=hash_keys(self.user_keys),
                fractions=fractions, seed=seed, by=by, order=order,
            )  # fmt: skip
        else:
            raise UsageError(f'method: expected "keys" or "positions", found {method!r}.')
        return tuple(self.take(part == number) for number in range(len(fractions)))  # part: (n,)

    def matrix(self) -> sparse.csr_matrix:
        """Return the rows as a binary matrix: float32 (n_users, n_items)."""
        values = np.ones(len(self), dtype=np.float32)
        return sparse.csr_matrix((values, (self.users, self.items)), shape=(self.n_users, self.n_items))

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of keys, rows, ratings, timestamps and like_threshold."""
        none = np.empty(0)
        return fingerprint(
            self.user_keys,
            self.item_keys,
            self.users,
            self.items,
            none if self.ratings is None else self.ratings,
            none if self.timestamps is None else self.timestamps,
            str(self.like_threshold),
            *(() if self.timestamps is None or self.time_unit == "s" else (self.time_unit,)),
            *(() if self.own_items is None or self.user_label else (self.own_items,)),
        )

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per pair with keys: columns user, item and, where known, rating, timestamp (`time_unit`)."""
        columns = {"user": self.user_keys[self.users], "item": self.item_keys[self.items]}
        if self.ratings is not None:
            columns["rating"] = self.ratings
        if self.timestamps is not None:
            columns["timestamp"] = self.timestamps
        return pd.DataFrame(columns)

    def __repr__(self) -> str:
        return (
            f"Interactions({counted(len(self), 'row')}, {counted(self.n_users, 'user')}, "
            f"{counted(self.n_items, 'item')})"
        )
