"""Loops over the rows of a batch, compiled by numba. In torch, each operation would read the rows from memory again."""

from __future__ import annotations

import numba
import numpy as np

FADED = 150  # missed steps after which a row's mean gradient is practically zero: 0.9 ** 150 is 1e-7


@numba.njit(cache=True, nogil=True, error_model="numpy")
def adam_rows(
    table: np.ndarray,
    moments: np.ndarray,
    steps: np.ndarray,
    rows: np.ndarray,
    grad: np.ndarray,
    lr: np.float32,
    beta1: np.float32,
    beta2: np.float32,
    eps: np.float32,
) -> None:
    """Do one step of Adam (Kingma and Ba, ICLR 2015, algorithm 1) on some rows of a table, in place.

    Args:
        table: float32 (n, d), the weights.
        moments: float32 (n, 2d): columns [:d] hold the running mean of a row's gradients, [d:] that of their squares.
        steps: float32 (n,), number of updates of each row.
        rows: int64 (m,), the rows to update, distinct.
        grad: float32 (m, d), gradients of these rows.
        lr, beta1, beta2, eps: Settings of Adam, float32.
    """
    one, d = np.float32(1), table.shape[1]
    for i in range(len(rows)):
        row = rows[i]
        steps[row] += one
        scale = np.sqrt(one - beta2 ** steps[row])
        size, floor = lr * scale / (one - beta1 ** steps[row]), eps * scale
        weight, mean, square, g = table[row], moments[row, :d], moments[row, d:], grad[i]
        for j in range(d):
            mean[j] = beta1 * mean[j] + (one - beta1) * g[j]
            square[j] = beta2 * square[j] + (one - beta2) * g[j] * g[j]
            weight[j] -= size * mean[j] / (np.sqrt(square[j]) + floor)


@numba.njit(cache=True, nogil=True)
def are_distinct(rows: np.ndarray, n: int) -> bool:
    """Return whether the indices in `rows`, int64 (m,) from 0 to n - 1, are distinct."""
    seen = np.zeros(n, dtype=np.bool_)
    for row in rows:
        if seen[row]:
            return False
        seen[row] = True
    return True


@numba.njit(cache=True, nogil=True, error_model="numpy")
def catch_up(
    table: np.ndarray,
    moments: np.ndarray,
    steps: np.ndarray,
    rows: np.ndarray,
    now: int,
    lr: np.float32,
    beta1: np.float32,
    beta2: np.float32,
    eps: np.float32,
) -> np.ndarray:
    """Apply the steps of Adam that rows have missed since their last update, each with a gradient of zero.

    In these steps a row's two moments, mean and square, only shrink, by beta1 and beta2 per step. So the total change
    of a row is −lr · mean / (√square + eps) times a sum that depends only on the step numbers. (Adam adds eps within
    the sum, but eps is tiny compared to √square wherever mean is not zero.)

    Args:
        table, moments, lr, beta1, beta2, eps: As in `adam_rows`.
        steps: float32 (n,), number of the last step that each row has taken; 0 if it has taken none.
        rows: int64 (m,), the rows to update, distinct.
        now: Number of the step up to which the rows are updated.

    Returns:
        float32 (m, d), the updated rows.
    """
    one, d = np.float32(1), table.shape[1]
    values = np.empty((len(rows), d), dtype=np.float32)
    for i in range(len(rows)):
        row = rows[i]
        missed = now - int(steps[row])
        weight, mean, square = table[row], moments[row, :d], moments[row, d:]
        if missed > 0 and steps[row] > 0:
            first, second = beta1 ** steps[row], beta2 ** steps[row]
            share, total = one, np.float32(0)
            for _ in range(min(missed, FADED)):
                first, second, share = first * beta1, second * beta2, share * beta1 / np.sqrt(beta2)
                total += share * np.sqrt(one - second) / (one - first)
            faded, shrunk = beta1 ** np.float32(missed), beta2 ** np.float32(missed)
            for j in range(d):
                weight[j] -= lr * total * mean[j] / (np.sqrt(square[j]) + eps)
                mean[j], square[j] = faded * mean[j], shrunk * square[j]
        steps[row] = now
        values[i] = weight
    return values


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
def pair_dots(left: np.ndarray, left_of: np.ndarray, right: np.ndarray, right_of: np.ndarray) -> np.ndarray:
    """Return the dot product of left[left_of[i]] and right[right_of[i]] for each i.

    Args:
        left, right: float32 (m, d) and (k, d).
        left_of, right_of: int64 (n,), row indices in `left` and `right`.

    Returns:
        float32 (n,).
    """
    dots = np.empty(len(left_of), dtype=np.float32)
    for i in range(len(left_of)):
        a, b, dot = left[left_of[i]], right[right_of[i]], np.float32(0)
        for j in range(left.shape[1]):
            dot += a[j] * b[j]
        dots[i] = dot
    return dots


@numba.njit(cache=True, nogil=True, error_model="numpy")
def pair_dots_gradient(
    grad: np.ndarray, left: np.ndarray, left_of: np.ndarray, right: np.ndarray, right_of: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the backward pass of `pair_dots`: the gradients of `left` and `right`, float32 (m, d) and (k, d).

    Args:
        grad: Gradient of the dot products, float32 (n,).
        left, left_of, right, right_of: As in `pair_dots`.
    """
    to_left, to_right = np.zeros_like(left), np.zeros_like(right)
    for i in range(len(left_of)):
        g, a, b = grad[i], left_of[i], right_of[i]
        for j in range(left.shape[1]):
            to_left[a, j] += g * right[b, j]
            to_right[b, j] += g * left[a, j]
    return to_left, to_right


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
def cross_compress(
    items: np.ndarray, entities: np.ndarray, weights: np.ndarray, bias: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Apply MKR's cross & compress unit to each pair (v, e). Return (v', e'), float32 (n, d) each.

    v' = v (e·w_vv) + e (v·w_ev) + b_v and e' = v (e·w_ve) + e (v·w_ee) + b_e

    Args:
        items, entities: v and e, float32 (n, d).
        weights: w_vv, w_ev, w_ve, w_ee, float32 (4, d).
        bias: b_v, b_e, float32 (2, d).
    """
    n, d = items.shape
    crossed_items, crossed_entities = np.empty_like(items), np.empty_like(entities)
    for i in range(n):
        v, e, vv, ev, ve, ee = items[i], entities[i], np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        for j in range(d):
            vv += e[j] * weights[0, j]
            ev += v[j] * weights[1, j]
            ve += e[j] * weights[2, j]
            ee += v[j] * weights[3, j]
        for j in range(d):
            crossed_items[i, j] = v[j] * vv + e[j] * ev + bias[0, j]
            crossed_entities[i, j] = v[j] * ve + e[j] * ee + bias[1, j]
    return crossed_items, crossed_entities


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
def cross_compress_gradient(
    to_crossed_items: np.ndarray,
    to_crossed_entities: np.ndarray,
    items: np.ndarray,
    entities: np.ndarray,
    weights: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Compute the backward pass of `cross_compress`: the gradient of each of its arguments, in its shape.

    Args:
        to_crossed_items, to_crossed_entities: Gradients of v' and e', float32 (n, d).
        items, entities, weights: As in `cross_compress`.
    """
    n, d = items.shape
    to_items, to_entities = np.empty_like(items), np.empty_like(entities)
    to_weights, to_bias = np.zeros_like(weights), np.zeros((2, d), dtype=np.float32)
    for i in range(n):
        v, e, p, q = items[i], entities[i], to_crossed_items[i], to_crossed_entities[i]
        vv, ev, ve, ee = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        pv, pe, qv, qe = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        for j in range(d):
            vv += e[j] * weights[0, j]
            ev += v[j] * weights[1, j]
            ve += e[j] * weights[2, j]
            ee += v[j] * weights[3, j]
            pv += p[j] * v[j]
            pe += p[j] * e[j]
            qv += q[j] * v[j]
            qe += q[j] * e[j]
        for j in range(d):
            to_items[i, j] = p[j] * vv + q[j] * ve + pe * weights[1, j] + qe * weights[3, j]
            to_entities[i, j] = p[j] * ev + q[j] * ee + pv * weights[0, j] + qv * weights[2, j]
            to_weights[0, j] += pv * e[j]
            to_weights[1, j] += pe * v[j]
            to_weights[2, j] += qv * e[j]
            to_weights[3, j] += qe * v[j]
            to_bias[0, j] += p[j]
            to_bias[1, j] += q[j]
    return to_items, to_entities, to_weights, to_bias
