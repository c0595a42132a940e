"""Feedback of users on items, as integer arrays with stable keys."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from scipy import sparse

from kgplug.data import own_items as own
from kgplug.data.repeated import Repeated, merge_rows
from kgplug.data.splitting import hash_keys, hash_pairs, split_rows, split_rows_by_position
from kgplug.data.values.columns import (
    as_like_threshold,
    check_columns,
    check_lengths,
    read_indices,
    read_ratings,
    read_timestamps,
    read_weights,
)
from kgplug.data.values.keys import as_column, as_keys, factorize, fingerprint
from kgplug.data.values.texts import as_texts
from kgplug.data.values.times import TimeUnit, check_unit
from kgplug.errors import DataError, UsageError
from kgplug.plain_text import counted
from kgplug.renamed import renamed

By: TypeAlias = Literal["user", "row", "new-users"]
Order: TypeAlias = Literal["random", "time"]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Interactions:
    """Feedback of users on items: one row per pair of user and item.

    The sets of a split share the keys, so a user or item has the same index in all of them.

    Attributes:
        user_keys: object (n_users,), key of every user, including users without feedback.
        item_keys: object (n_items,), key of every item in the catalogue.
        users: int64 (n,), user index of each row: an index into `user_keys`.
        items: int64 (n,), item index of each row: an index into `item_keys`.
        ratings: float32 (n,); None if the feedback has no ratings.
        timestamps: int64 (n,), in `time_unit` since the start of 1970 in UTC; None if the feedback has no times.
        like_threshold: a row is a like if its rating is at least this (compared as float32); None: every row is a like.
        user_label, item_label: node labels in the graph, "" if there are none.
        item_texts: object (n_items,) of str, such as titles; "" for items without text. None if no texts are given.
        own_items: int64 (n_users,), item index of each user who is also an item, -1 for other users. None if no user
            is an item. No row, sampled negative or recommended list pairs a user with itself.
        time_unit: "s", "ms", "us" or "ns": the coarsest unit in which all times are whole numbers. With "ns", times
            before 1677 or after 2262 are moved to the ends of this range (`kgplug.data.values.times`).
        counts: int64 (n,), number of source rows merged into each row; None if all are 1.
        ratings_are_counts: whether each rating is the number of source rows merged into its row.
        graph_schema: schema of the Neo4j graph from which the rows were read; None for other sources.
        weights: float32 (n,), above 0: how strongly each row says that it is a like (or a dislike), such as a quantity.
            Models use them as `confidence`, to which only ratios matter. None if all are 1.
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
    graph_schema: dict[str, Any] | None = None
    weights: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.weights is not None and (self.weights == 1).all():
            object.__setattr__(self, "weights", None)
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
        weight: Hashable | None = None,
        half_life: float | None = None,
    ) -> Interactions:
        """Build interactions from a DataFrame. Several rows for one pair of user and item become one.

        Ratings are numbers, or booleans: true is a like and false a dislike. Timestamps are dates, or Unix times that
        are all in one unit. Without `time_unit`, the unit is derived from the size of the numbers: up to 1e11 they are
        seconds, up to 1e14 milliseconds, up to 1e17 microseconds, and above that nanoseconds. Dates without a time zone
        are UTC.

        Args:
            frame: each row is one user's feedback on one item.
            user, item, rating, timestamp, weight: names of the frame's columns. A weight is a number above 0 that says
                how much a row counts, such as a quantity.
            like_threshold: the lowest rating that counts as a like. None: every row is a like or, if ratings are
                booleans, every row with true.
            items: keys of further items, which can be recommended although they have no feedback.
            users_are_items: whether a user and an item with the same key are one and the same, as when people follow
                people. Then rows that pair a user with itself are left out, and no user is recommended to itself.
            repeated: how several rows for one pair are merged: by keeping the "last" rating and weight, by their
                "sum", "mean" or "max", by the "count" of rows, or by "decay", where old rows count less. None: "last"
                if there are ratings, otherwise "count". For details see `from_arrays`.
            time_unit: unit of numeric timestamps: "s", "ms", "us" or "ns". None: derived from their sizes.
            half_life: days after which a row's weight has decayed to half; only with `repeated="decay"`.

        Raises:
            DataError: a column is missing, a key is null, a rating, weight or timestamp is invalid, or there is no row.
            UsageError: an argument is invalid.
        """
        check_columns(frame, [user, item, *(column for column in (rating, timestamp, weight) if column is not None)])
        if time_unit is not None:
            check_unit(time_unit)
        users, user_keys = factorize(as_column(frame[user], what=f'column "{user}"'))
        named, more = as_column(frame[item], what=f'column "{item}"'), as_keys(items, what="items")
        indices, item_keys = factorize(np.concatenate([named.astype(object), more]) if len(more) else named)
        times = None if timestamp is None else read_timestamps(frame[timestamp], str(timestamp), unit=time_unit)
        ratings, booleans = (None, False) if rating is None else read_ratings(frame[rating], str(rating))
        return cls.from_arrays(
            user_keys,
            item_keys,
            users,
            indices[: len(named)],
            ratings=ratings,
            timestamps=None if times is None else times.values,
            like_threshold=1 if booleans and like_threshold is None else like_threshold,
            users_are_items=users_are_items,
            time_unit="s" if times is None else times.unit,
            repeated=repeated,
            weights=None if weight is None else read_weights(frame[weight], str(weight)),
            half_life=half_life,
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
        weights: np.ndarray | None = None,
        half_life: float | None = None,
    ) -> Interactions:
        """Build interactions from arrays, sorted by user and item.

        Several rows for one pair of user and item become one, with the latest timestamp. `repeated` sets the rating and
        the weight of the merged row:

        - "last": rating and weight of the latest row; if times are equal or missing, of the row that comes last in the
          arrays. The default if there are ratings.
        - "sum", "mean", "max": sum, mean or maximum of the ratings, and the same of the weights.
        - "count": the rating is the number of rows, so 100 plays are a rating of 100; the weight is the sum of the
          weights. The default if there are no ratings and a pair is repeated. If this default applies, `like_threshold`
          is ignored and every row is a like.
        - "decay": the weight is the sum of weight · 0.5^(age / `half_life`), where age is the time from the row to the
          newest of all rows. The rating is the mean of the ratings, in proportion to these decayed weights. Without
          weights, each row has weight 1 before it decays. Without ratings, every row is a like.

        By default, rows without ratings and without repeated pairs stay without ratings. Rows without weights stay
        without weights, except with "decay".

        If users can be items, rows that pair a user with itself are left out; their number is logged.

        Args:
            user_keys, item_keys: object (n_users,) and (n_items,), `int` or `str`, unique and in canonical order
                (as `kgplug.data.values.keys.factorize` returns them).
            users, items: integer (n,), indices into the keys.
            ratings: number or boolean (n,), or None.
            timestamps: dates (n,), or Unix times in `time_unit`, or None.
            like_threshold: the lowest rating that counts as a like, compared after merging. None: every row is a like
                or, if ratings are booleans, every row with true.
            user_label, item_label: node labels, "" if there are none.
            item_texts: object (n_items,) of str, or None.
            own_items: int64 (n_users,), item index of each user who is also an item, -1 for other users. None: users
                and items with equal keys are matched if `users_are_items` is true; otherwise no user is an item.
            users_are_items: whether a user and an item with the same key are one and the same. Always true if both
                labels are equal.
            time_unit: unit of numeric timestamps: "s", "ms", "us" or "ns".
            repeated: "last", "sum", "mean", "max", "count" or "decay"; None: the default, as described above.
            weights: number above 0 (n,), how much each row counts; None: all are 1.
            half_life: in days, above 0; only with `repeated="decay"`.

        Raises:
            DataError: a rating is not a finite number, a weight is not a number above 0, an index is out of range,
                arrays differ in length, or user and item are the same in every row.
            UsageError: `repeated` is not one of these words; it is "sum", "mean" or "max" without ratings and weights;
                it is "decay" without timestamps or without `half_life`; or `half_life` is invalid.
        """
        users, items = read_indices(users, user_keys, "users"), read_indices(items, item_keys, "items")
        if ratings is not None:
            ratings, booleans = read_ratings(ratings, "ratings")
            like_threshold = 1 if booleans and like_threshold is None else like_threshold
        if timestamps is not None and np.asarray(timestamps).dtype.kind != "i":
            times = read_timestamps(timestamps, "timestamps", unit=time_unit)
            timestamps, time_unit = times.values, times.unit
        weights = None if weights is None else read_weights(weights, "weights")
        check_lengths(users=users, items=items, ratings=ratings, timestamps=timestamps, weights=weights)
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
            weights = None if weights is None else weights[others]
        pairs = users * np.int64(len(item_keys)) + items
        timestamps = None if timestamps is None else np.asarray(timestamps, dtype=np.int64)
        merged = merge_rows(
            pairs, ratings, weights, timestamps, repeated=repeated, half_life=half_life, time_unit=time_unit
        )
        return cls(
            np.asarray(user_keys, dtype=object),
            np.asarray(item_keys, dtype=object),
            users[merged.rows],
            items[merged.rows],
            merged.ratings,
            None if timestamps is None else timestamps[merged.rows],
            None if merged.ratings_are_counts and repeated is None else like_threshold,
            user_label,
            item_label,
            item_texts,
            own_items,
            time_unit,
            merged.counts,
            merged.ratings_are_counts,
            weights=merged.weights,
        )

    @property
    def n_users(self) -> int:
        """Number of users, including those without feedback."""
        return len(self.user_keys)

    @property
    def n_items(self) -> int:
        """Number of items, including those without feedback."""
        return len(self.item_keys)

    def __len__(self) -> int:
        return len(self.users)

    @cached_property
    def is_like(self) -> np.ndarray:
        """bool (n,), whether each row is a like."""
        if self.like_threshold is None or self.ratings is None:
            return np.ones(len(self), dtype=bool)
        with np.errstate(over="ignore"):
            return self.ratings >= np.float32(self.like_threshold)

    @cached_property
    def confidence(self) -> np.ndarray | None:
        """float32 (n,), log(1 + weight / median weight), divided by its mean; None if all weights are equal.

        This is how sure models are that a row is a like (or a dislike), relative to the other rows. The logarithm is
        there because quantities and numbers of plays have a few very large values, which would otherwise outweigh all
        others. Multiplying all weights by a number changes nothing.

        Source: Y. Hu, Y. Koren, C. Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", ICDM 2008,
        eq. 6.
        """
        if self.weights is None or (self.weights == self.weights[0]).all():
            return None
        damped = np.log1p(self.weights.astype(np.float64) / np.median(self.weights))
        return np.maximum((damped / damped.mean()).astype(np.float32), np.finfo(np.float32).tiny)

    @cached_property
    def pairs(self) -> np.ndarray:
        """int64 (n,), one number per pair, `user * n_items + item`; ascending, because rows are sorted."""
        return self.users * np.int64(self.n_items) + self.items

    @cached_property
    def own_pairs(self) -> np.ndarray:
        """int64 (m,), ascending: for each user who is also an item, the number of the pair (user, itself).

        The numbers are those of `pairs`: `user * n_items + item`.
        """
        if self.own_items is None:
            return np.empty(0, dtype=np.int64)
        users = np.flatnonzero(self.own_items >= 0)
        return users * np.int64(self.n_items) + self.own_items[users]

    def likes(self) -> Interactions:
        """Return the rows that are likes."""
        return self.take(self.is_like)

    def take(self, rows: np.ndarray) -> Interactions:
        """Return some of the rows. User and item keys and indices stay the same.

        Args:
            rows: bool (n,) mask, or integer row positions (m,).
        """
        return replace(
            self,
            users=self.users[rows],
            items=self.items[rows],
            ratings=None if self.ratings is None else self.ratings[rows],
            timestamps=None if self.timestamps is None else self.timestamps[rows],
            counts=None if self.counts is None else self.counts[rows],
            weights=None if self.weights is None else self.weights[rows],
        )

    def same_keys(self, user_keys: np.ndarray, item_keys: np.ndarray) -> bool:
        """Return whether `self.user_keys` equals `user_keys` and `self.item_keys` equals `item_keys`, order included.

        Args:
            user_keys, item_keys: object arrays.
        """
        pairs = ((self.user_keys, user_keys), (self.item_keys, item_keys))
        return all(mine is other or np.array_equal(mine, other) for mine, other in pairs)

    def aligned_to(self, user_keys: np.ndarray, item_keys: np.ndarray) -> Interactions:
        """Return the rows whose user and item are among the given keys, with indices into these keys.

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
        """Return the same rows with another `like_threshold`."""
        return replace(self, like_threshold=like_threshold)

    def with_texts(self, texts: Mapping[int | str, object]) -> Interactions:
        """Return the same rows with texts of the items, such as titles.

        Args:
            texts: item key → text. Numbers and lists become text. Items without a value get ""
                (`kgplug.data.values.texts`).
        """
        return replace(self, item_texts=as_texts(texts.get(key) for key in self.item_keys))

    @cached_property
    def texts_fingerprint(self) -> str | None:
        """sha256 (hex) of the texts; None without texts. `fingerprint` omits them, because few models read them."""
        return None if self.item_texts is None else fingerprint(self.item_texts)

    @cached_property
    def row_hashes(self) -> np.ndarray:
        """uint64 (n,), a hash of each row that depends only on the keys of its user and item.

        The hash is the same on every machine, and in every graph or DataFrame that contains the pair. So a row can be
        found again after other rows were added or removed.
        """
        return hash_pairs(hash_keys(self.user_keys)[self.users], hash_keys(self.item_keys)[self.items])

    def split(
        self,
        fractions: Sequence[float],
        *,
        seed: int = 0,
        by: By = "user",
        order: Order = "random",
        method: Literal["keys", "positions"] = "keys",
    ) -> tuple[Interactions, ...]:
        """Split the rows into sets, such as training, validation and test set.

        Rows are sorted by a hash of their keys and the seed (or by time) and cut into sets. So if a row is added or
        removed, at most one other row moves from one set to the next at each cut. Averaged over seeds, each set gets
        its fraction of every user's rows, even of a user with one row. To split one of the sets again, use another
        seed, because the same seed sorts the rows in the same order.

        Args:
            fractions: share of each set, adding up to 1, such as (0.8, 0.1, 0.1).
            seed: seed of the shuffle and of the rounding of set sizes, at least 0.
            by: "user" splits each user's rows in these fractions; "row" splits all rows together; "new-users" splits
                the users, so that no two sets have a user in common (`kgplug.evaluation.new_users`).
            order: "random", or "time" to put earlier rows into earlier sets.
            method: "keys" splits as above; "positions" splits as early versions of kgplug did, to
                reconstruct the sets of runs that they trained.

        Returns:
            One object per fraction, all with the same users and items.

        Raises:
            UsageError: the fractions, the seed or another argument is invalid.
            DataError: `order="time"` without timestamps.
        """
        if method == "positions":
            sets = split_rows_by_position(
                self.users, self.timestamps, fractions=fractions, seed=seed, by=by, order=order
            )
        elif method == "keys":
            sets = split_rows(
                self.users, self.timestamps, row_hashes=self.row_hashes, user_hashes=hash_keys(self.user_keys),
                fractions=fractions, seed=seed, by=by, order=order,
            )  # fmt: skip
        else:
            raise UsageError(f'method: expected "keys" or "positions", found {method!r}.')
        return tuple(self.take(sets == index) for index in range(len(fractions)))  # sets: (n,)

    def matrix(self, values: np.ndarray | None = None) -> sparse.csr_matrix:
        """Return a CSR matrix of the rows: float32 (n_users, n_items).

        Args:
            values: number (n,), the entry of each row; None: 1.
        """
        values = np.ones(len(self), dtype=np.float32) if values is None else values.astype(np.float32)
        return sparse.csr_matrix((values, (self.users, self.items)), shape=(self.n_users, self.n_items))

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (hex) of keys, rows, ratings, weights, timestamps and like_threshold."""
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
            *(() if self.weights is None else ("weights", self.weights)),
        )

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per pair, with keys: columns user, item and, if known, rating, timestamp and weight."""
        columns = {"user": self.user_keys[self.users], "item": self.item_keys[self.items]}
        if self.ratings is not None:
            columns["rating"] = self.ratings
        if self.timestamps is not None:
            columns["timestamp"] = self.timestamps
        if self.weights is not None:
            columns["weight"] = self.weights
        return pd.DataFrame(columns)

    def __repr__(self) -> str:
        return (
            f"Interactions({counted(len(self), 'row')}, {counted(self.n_users, 'user')}, "
            f"{counted(self.n_items, 'item')})"
        )
