"""How lists are chosen from scores: which items may stand in one, and how much they shall differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kgplug.data.ranking.diversity import POOL, rerank
from kgplug.data.ranking.ties import Ties
from kgplug.data.ranking.top_k import top_k
from kgplug.data.values.columns import as_number
from kgplug.errors import UsageError


@dataclass(frozen=True, eq=False)
class ListChoice:
    """How the list of each user is chosen.

    Attributes:
        width: length of a list, at most n_items.
        out: bool (n_items,), items that stand in no list, or None.
        diversity: weight of difference, from 0 to 1.
        vectors: float32 (n_items, d), by which items differ; None without diversity.
    """

    width: int
    out: np.ndarray | None = None
    diversity: float = 0.0
    vectors: np.ndarray | None = None

    def make(
        self,
        scores: np.ndarray,
        finish: Callable[[np.ndarray], np.ndarray] | None = None,
        ties: Ties | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return (items, scores) of the lists, int64 and float32 (b, width): scores (b, n_items), -inf for seen items.

        The scores are written over; `finish` and `ties` are as in `top_k`.
        """
        if self.out is not None:
            scores[:, self.out] = -np.inf
        if self.vectors is None:
            return top_k(scores, self.width, finish=finish, ties=ties)
        pool = min(scores.shape[1], POOL * self.width)
        candidates = top_k(scores, pool, finish=finish, ties=ties)
        return rerank(*candidates, self.vectors, self.width, diversity=self.diversity)


def check_diversity(diversity: float) -> float:
    """Return the weight, refusing what is none with a `UsageError`."""
    found = None if isinstance(diversity, str) else as_number(diversity)
    if found is None or not 0 <= found <= 1:
        raise UsageError(f"diversity: expected a number from 0 (scores only) to 1, such as 0.3; found {diversity!r}.")
    return found


def check_vectors(vectors: np.ndarray, n_items: int) -> np.ndarray:
    """Return item vectors as float32 (n_items, d), refusing others with a `UsageError`."""
    vectors = np.asarray(vectors, dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != n_items or not np.isfinite(vectors).all():
        raise UsageError(
            f"vectors: expected finite numbers, one row per item ({n_items:,} rows); found shape {vectors.shape}."
        )
    return vectors


def left_out(only: np.ndarray | None, exclude: np.ndarray | None, n_items: int) -> np.ndarray | None:
    """Return the mask of the items that may not stand in a list, bool (n_items,), or None where all may.

    Args:
        only: item numbers, or a mask bool (n_items,), of those that may; None: all.
        exclude: the same of those that may not.
        n_items: size of the catalogue.

    Raises:
        UsageError: what is given is neither.
    """
    if only is None and exclude is None:
        return None
    out = np.zeros(n_items, dtype=bool) if only is None else ~item_mask("only", only, n_items)
    return out if exclude is None else out | item_mask("exclude", exclude, n_items)


def item_mask(name: str, given: np.ndarray, n_items: int) -> np.ndarray:
    """Return item numbers, or a mask, as a mask bool (n_items,), refusing others with a `UsageError`."""
    texts = isinstance(given, (list, tuple)) and any(isinstance(value, str) for value in given)
    values = np.asarray(given, dtype=object if texts else None)  # not text of the longest key's width
    if values.dtype == bool and values.shape == (n_items,):
        return values
    mask = np.zeros(n_items, dtype=bool)
    if values.size == 0:
        return mask
    if values.dtype.kind not in "iu" or values.ndim != 1:
        found = "keys" if values.dtype.kind in "OU" else f"an array {values.dtype} {values.shape}"
        raise UsageError(
            f"{name}: expected item indices or a mask of {n_items:,} booleans, found {found}. "
            "model.item_indices(keys) returns the indices of keys."
        )
    if not 0 <= values.min() <= values.max() < n_items:
        raise UsageError(
            f"{name}: expected item indices from 0 to {n_items - 1}, found {values.min()} to {values.max()}. "
            "model.item_indices(keys) returns the indices of keys."
        )
    mask[values] = True
    return mask
