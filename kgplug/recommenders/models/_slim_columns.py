"""Coordinate descent for the columns of SLIM's item-item weights, compiled by numba."""

from __future__ import annotations

import numba
import numpy as np

_TOLERANCE = 1e-6  # sweeps stop when no weight changes by more than this
_MOST_SWEEPS = 1_000  # maximum number of sweeps over the same active items


@numba.njit(cache=True, nogil=True)
def solve_columns(
    first: int,
    last: int,
    item_starts: np.ndarray,
    item_users: np.ndarray,
    item_values: np.ndarray,
    user_starts: np.ndarray,
    user_items: np.ndarray,
    user_values: np.ndarray,
    squares: np.ndarray,
    l1: float,
    l2: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Solve min_w ½ ‖x_j − X w‖² + ½ l2 ‖w‖² + l1 Σ w, with w ≥ 0 and w_j = 0, for each column j of X in a range.

    x_j is column j of X, the likes of item j. For each column, the solver keeps a set of active items. It first adds
    the items whose gradient would make their weight positive. Then coordinate descent sweeps over the active items, and
    drops those whose weight becomes 0. It stops when no weight changes by more than 1e-6, or after 1,000 sweeps. Both
    steps are repeated until there are no items to add.

    In addition to the result, the solver needs 17 bytes of memory per user and 34 bytes per item.

    Args:
        first, last: The columns to solve, range(first, last).
        item_starts, item_users, item_values: The arrays indptr, indices and data of Xᵀ, CSR float64 (n_items, n_users),
            without negative values.
        user_starts, user_items, user_values: The same arrays of X, CSR float64 (n_users, n_items).
        squares: Squared norm of each column of X, float64 (n_items,).
        l1, l2: Weights of the penalties.

    Returns:
        (counts, items, values): number of positive weights of each column, int64 (last - first,), then the items and
        weights of all columns, one column after the other, int32 and float32.
    """
    n_users, n_items = len(user_starts) - 1, len(item_starts) - 1
    left = np.zeros(n_users)  # the residual x_j − X w
    is_reached, reached = np.zeros(n_users, dtype=np.bool_), np.empty(n_users, dtype=np.int64)  # users with a residual
    weights, gradients = np.zeros(n_items), np.zeros(n_items)
    is_tried, tried = np.zeros(n_items, dtype=np.bool_), np.empty(n_items, dtype=np.int64)
    is_near, near = np.zeros(n_items, dtype=np.bool_), np.empty(n_items, dtype=np.int64)  # items of reached users
    counts = np.zeros(last - first, dtype=np.int64)
    items, values, size = np.empty(1024, dtype=np.int32), np.empty(1024, dtype=np.float32), 0
    for j in range(first, last):
        n_reached, n_tried = 0, 0
        for at in range(item_starts[j], item_starts[j + 1]):
            user = item_users[at]
            left[user], is_reached[user], reached[n_reached] = item_values[at], True, user
            n_reached += 1
        while True:
            n_near, n_before = 0, n_tried
            for user in reached[:n_reached]:
                for at in range(user_starts[user], user_starts[user + 1]):
                    item = user_items[at]
                    if not is_near[item]:
                        is_near[item], near[n_near] = True, item
                        n_near += 1
                    gradients[item] += left[user] * user_values[at]
            for item in near[:n_near]:
                if gradients[item] > l1 + _TOLERANCE * (squares[item] + l2) and item != j and not is_tried[item]:
                    is_tried[item], tried[n_tried] = True, item
                    n_tried += 1
                gradients[item], is_near[item] = 0.0, False
            if n_tried == n_before:
                break
            for _ in range(_MOST_SWEEPS):
                largest, n_kept = 0.0, 0
                for item in tried[:n_tried]:
                    start, stop = item_starts[item], item_starts[item + 1]
                    gradient = 0.0
                    for at in range(start, stop):
                        gradient += left[item_users[at]] * item_values[at]
                    weight = (gradient + squares[item] * weights[item] - l1) / (squares[item] + l2)
                    weight = max(weight, 0.0)
                    change = weight - weights[item]
                    if change != 0.0:
                        weights[item] = weight
                        largest = max(largest, abs(change))
                        for at in range(start, stop):
                            user = item_users[at]
                            left[user] -= change * item_values[at]
                            if not is_reached[user]:
                                is_reached[user], reached[n_reached] = True, user
                                n_reached += 1
                    if weight > 0.0:
                        tried[n_kept] = item
                        n_kept += 1
                    else:
                        is_tried[item] = False
                n_tried = n_kept
                if largest <= _TOLERANCE:
                    break
        if size + n_tried > len(items):
            items, values = _longer(items, size + n_tried), _longer(values, size + n_tried)
        for item in tried[:n_tried]:
            items[size], values[size] = item, weights[item]
            weights[item], is_tried[item] = 0.0, False
            size += 1
        counts[j - first] = n_tried
        for user in reached[:n_reached]:
            left[user], is_reached[user] = 0.0, False
    return counts, items[:size], values[:size]


@numba.njit(cache=True, nogil=True)
def _longer(array: np.ndarray, least: int) -> np.ndarray:
    """Return a longer copy of an array: twice its length, or `least` if that is more. New entries are undefined."""
    longer = np.empty(max(least, 2 * len(array)), dtype=array.dtype)
    longer[: len(array)] = array
    return longer
