"""Assign feedback rows to training, validation and test sets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from kgplug.data.values.whole_numbers import is_whole
from kgplug.errors import DataError, UsageError

_DECIMALS = 9  # decimals to which fractions are rounded before they are hashed


def split_rows(
    users: np.ndarray,
    timestamps: np.ndarray | None,
    *,
    row_hashes: np.ndarray,
    user_hashes: np.ndarray,
    fractions: Sequence[float],
    seed: int,
    by: str,
    order: str,
) -> np.ndarray:
    """Assign rows to sets. Return each row's set, int64 (n,): 0 for the first fraction, 1 for the second, and so on.

    The result depends on the keys and times of the rows, the fractions, the seed, `by` and `order`, not on the order in
    which the rows are given.

    With `by="user"`, the rows of each user are a group; with `by="row"`, all rows are one group. Within a group, rows
    are sorted by time, or by a hash of seed and row; the hash also sorts rows of equal times. A cut separates each set
    from the next. In a group of m rows, floor(C·m + r) rows come before a cut, where C is the sum of the fractions of
    the sets before the cut. The random number r is uniform in [0, 1), and computed from the seed, the fractions and the
    group. With `by="new-users"`, users are sorted by hash and cut in the same way, instead of rows.

    On average each set gets its fraction of each group, even of a group with one row. Each cut deviates by less than
    one row from its exact position. An additional row moves at most one other row across each cut of its group, and no
    row of another group.

    Args:
        users: int64 (n,), user indices.
        timestamps: int64 (n,), or None.
        row_hashes: uint64 (n,), hash of each row's user key and item key.
        user_hashes: uint64 (n_users,), hashes of the users' keys.
        fractions: share of each set, adding up to 1.
        seed: seed of the order and of the random numbers r, at least 0.
        by: "user" to split each user's rows, "row" to split all rows together, "new-users" to split the users: all rows
            of a user are in one set, so no two sets have a user in common.
        order: "random" or "time"; it makes no difference with "new-users".

    Raises:
        UsageError: the fractions, the seed, `by` or `order` is invalid.
        DataError: `order="time"` without timestamps.
    """
    checked = check_fractions(fractions)
    seed = check_seed(seed)
    _check_words(by, order, timestamps)
    n = len(users)
    stream = _stream(seed, by)
    if by == "new-users":
        return _split_users(users, user_hashes, checked, stream)
    drawn = mix(row_hashes + stream)  # (n,)
    rank = np.empty(n, dtype=np.int64)
    rank[np.argsort(drawn) if order == "random" else np.lexsort((drawn, np.asarray(timestamps)))] = np.arange(n)
    if by == "user":
        group, hashes = np.asarray(users, dtype=np.int64), user_hashes
    else:
        group, hashes = np.zeros(n, dtype=np.int64), np.zeros(1, dtype=np.uint64)
    remainders = as_uniform(mix(mix(hashes + stream) + _hash_of_numbers(checked)))  # (groups,)
    cumulative = np.cumsum(checked)
    cumulative = cumulative[:-1] / cumulative[-1]
    sizes = np.bincount(group, minlength=len(hashes))
    cuts = np.floor(cumulative[:, None] * sizes + remainders).astype(np.int64)  # (sets - 1, groups)
    return _sets(group, rank, sizes, cuts)


def _split_users(users: np.ndarray, user_hashes: np.ndarray, fractions: np.ndarray, stream: np.uint64) -> np.ndarray:
    """Assign all rows of a user to one set: users are sorted by hash and cut in the given fractions.

    Only users who have rows are counted. The result, int64 (n,), is the number of the set of each row.

    Args:
        users, user_hashes: As in `split_rows`.
        fractions: Checked fractions, float64 (n_sets,).
        stream: Number from `_stream` that is added to the hashes, so that each seed gives a different split.
    """
    who, place = np.unique(users, return_inverse=True)
    rank = np.empty(len(who), dtype=np.int64)
    rank[np.argsort(mix(user_hashes[who] + stream))] = np.arange(len(who))
    remainder = as_uniform(mix(mix(np.array([stream])) + _hash_of_numbers(fractions)))
    cumulative = np.cumsum(fractions)
    cuts = np.floor(cumulative[:-1] / cumulative[-1] * len(who) + remainder).astype(np.int64)  # (sets - 1,)
    return np.searchsorted(cuts, rank, side="right")[place]


def split_rows_by_position(
    users: np.ndarray,
    timestamps: np.ndarray | None,
    *,
    fractions: Sequence[float],
    seed: int,
    by: str,
    order: str,
) -> np.ndarray:
    """Assign each row to a set by its position in the data, as early versions of kgplug did: int64 (n,).

    Use it to find the test set of a run that such a version saved, if the data have not changed since. For the
    arguments and result see `split_rows`; `by="new-users"` is not supported.
    """
    checked = check_fractions(fractions)
    seed = check_seed(seed)
    _check_words(by, order, timestamps)
    if by == "new-users":
        raise UsageError('by="new-users" splits by keys. Omit method="positions", which finds the sets of early runs.')
    n = len(users)
    rank = np.random.default_rng(seed).permutation(n)
    if order == "time":
        rank[np.lexsort((rank, np.asarray(timestamps)))] = np.arange(n)
    group = np.asarray(users, dtype=np.int64) if by == "user" else np.zeros(n, dtype=np.int64)
    sizes = np.bincount(group, minlength=1)
    cuts = np.floor(np.cumsum(checked)[:-1][:, None] * sizes[None, :] + 0.5).astype(np.int64)  # (sets - 1, groups)
    return _sets(group, rank, sizes, cuts)


def _sets(group: np.ndarray, rank: np.ndarray, sizes: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """Return the number of the set that each row is in, int64 (n,): how many cuts come before the row in its group.

    Args:
        group: int64 (n,), group of each row.
        rank: int64 (n,), position of each row in the order of all rows. The rows of a group are sorted by it.
        sizes: int64 (n_groups,), number of rows in each group.
        cuts: int64 (n_sets - 1, n_groups), number of a group's rows before each cut.
    """
    n = len(group)
    sequence = np.argsort(group * np.int64(n) + rank)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    position = np.empty(n, dtype=np.int64)
    position[sequence] = np.arange(n) - starts[group[sequence]]
    found = np.zeros(n, dtype=np.int64)
    for cut in cuts:
        found += position >= cut[group]
    return found


def _check_words(by: str, order: str, timestamps: np.ndarray | None) -> None:
    if by not in ("user", "row", "new-users"):
        raise UsageError(f'by: expected "user", "row" or "new-users", found {by!r}.')
    if order not in ("random", "time"):
        raise UsageError(f'order: expected "random" or "time", found {order!r}.')
    if order == "time" and timestamps is None:
        raise DataError('order="time" needs timestamps, and these interactions have none. Use order="random".')


def check_seed(seed: int) -> int:
    """Return the seed of a split as a Python int.

    Raises:
        UsageError: the seed is not a whole number of at least 0.
    """
    if not is_whole(seed) or seed < 0:
        raise UsageError(f"seed of a split: expected a whole number of at least 0, found {seed!r}.")
    return int(seed)


def check_fractions(fractions: Sequence[float]) -> np.ndarray:
    """Check the fractions of a split, and return them as float64 (n_sets,).

    Raises:
        UsageError: there are fewer than two, one is negative or not a number, or they do not add up to 1.
    """
    try:
        found = np.asarray([_as_printed(fraction) for fraction in fractions], dtype=np.float64)
    except (TypeError, ValueError):
        raise _not_fractions(f"{fractions!r}") from None
    if len(found) < 2 or not (found >= 0).all() or not np.isclose(found.sum(), 1.0):
        raise _not_fractions(", ".join(f"{fraction:g}" for fraction in found) or "none")
    return found


def _as_printed(fraction: float | np.floating[Any]) -> float:
    """Return a fraction as a Python float. A numpy float is read as it prints, so np.float32(0.8) is 0.8."""
    return float(str(fraction)) if isinstance(fraction, np.floating) else float(fraction)


def _not_fractions(found: str) -> UsageError:
    return UsageError(f"fractions: expected two or more numbers, none negative, that add up to 1; found {found}.")


def hash_keys(keys: np.ndarray) -> np.ndarray:
    """Return a hash of each key, the same on every machine: object (n,) → uint64 (n,). 1 and "1" differ."""
    keys = np.asarray(keys, dtype=object)
    is_text = np.fromiter((isinstance(key, str) for key in keys), dtype=bool, count=len(keys))
    hashes = np.empty(len(keys), dtype=np.uint64)
    hashes[is_text] = _hash_texts(keys[is_text])
    integers = keys[~is_text]
    try:
        hashes[~is_text] = mix(integers.astype(np.int64).view(np.uint64))
    except OverflowError:
        small = np.fromiter((-(2**63) <= key < 2**63 for key in integers), dtype=bool, count=len(integers))
        found = np.empty(len(integers), dtype=np.uint64)
        found[small] = mix(integers[small].astype(np.int64).view(np.uint64))
        found[~small] = mix(hash_names(integers[~small]))
        hashes[~is_text] = found
    return hashes


def hash_pairs(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return a hash of each pair of hashes: uint64 (n,), (n,) → uint64 (n,). The order within a pair matters."""
    return mix(mix(first) + second)


def as_uniform(numbers: np.ndarray) -> np.ndarray:
    """Map hashes to numbers in [0, 1) that are practically uniform: uint64 (n,) → float64 (n,)."""
    return (numbers >> np.uint64(11)) / np.float64(2**53)


def _stream(seed: int, name: str) -> np.uint64:
    """Return a number to add to hashes before mixing, so that each seed and name gives different random numbers."""
    words = [seed >> shift & 0xFFFFFFFFFFFFFFFF for shift in range(0, max(seed.bit_length(), 1), 64)]
    return _fold(hash_names(np.array([name], dtype=object))[0], np.array(words, dtype=np.uint64))


def _hash_of_numbers(numbers: np.ndarray) -> np.uint64:
    """Return one hash of all fractions. Rounding errors do not change it: 1 - 0.9 counts as 0.1."""
    rounded = np.round(np.ascontiguousarray(numbers, dtype=np.float64), _DECIMALS)
    return _fold(np.uint64(len(numbers)), rounded.view(np.uint64))


def _fold(start: np.uint64, words: np.ndarray) -> np.uint64:
    found = np.array([start], dtype=np.uint64)
    for word in words:
        found = mix(found ^ word)
    return found[0]


def hash_names(keys: np.ndarray) -> np.ndarray:
    """Return a hash of the text of each name or key, the same on every machine: object (n,) → uint64 (n,).

    1 and "1" have the same hash; `hash_keys` distinguishes them.
    """
    keys = np.asarray(keys, dtype=object)
    return _hash_texts(np.fromiter(map(str, keys), dtype=object, count=len(keys)))


def _hash_texts(texts: np.ndarray) -> np.ndarray:
    try:
        return pd.util.hash_array(texts)  # type: ignore[attr-defined]
    except UnicodeEncodeError:  # a text contains half of a surrogate pair
        as_bytes = (text.encode("utf-8", "surrogatepass") for text in texts)
        return pd.util.hash_array(np.fromiter(as_bytes, dtype=object, count=len(texts)))  # type: ignore[attr-defined]


def mix(numbers: np.ndarray) -> np.ndarray:
    """Mix the bits of each number, uint64 (n,) → uint64 (n,) (finaliser of SplitMix64: Steele et al., OOPSLA 2014)."""
    numbers = numbers + np.uint64(0x9E3779B97F4A7C15)
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))
