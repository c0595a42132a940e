"""Which items may be in a list, and how much they should differ from each other."""

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
    """How lists are made from scores.

    Attributes:
        k: length of the lists, at most n_items.
        excluded: bool (n_items,), whether an item is kept out of all lists; None: all items may be listed.
        diversity: 0 to 1, penalty for being similar to items higher in the list (MMR).
        vectors: float32 (n_items, d); items are similar if the cosine of their vectors is high. None: no diversity.
    """

    k: int
    excluded: np.ndarray | None = None
    diversity: float = 0.0
    vectors: np.ndarray | None = None

    def make(
        self,
        scores: np.ndarray,
        finish: Callable[[np.ndarray], np.ndarray] | None = None,
        ties: Ties | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return one list per row of scores, best item first.

        Args:
            scores: float32 (b, n_items), -inf for seen items. Overwritten.
            finish, ties: passed on to `kgplug.data.ranking.top_k.top_k`: the final monotonic step of scoring, such as a
                sigmoid, and how tied items are ordered.

        Returns:
            (items, scores): int64 and float32 (b, k); -1 and -inf fill shorter lists.
        """
        if self.excluded is not None:
            scores[:, self.excluded] = -np.inf
        if self.vectors is None:
            return top_k(scores, self.k, finish=finish, ties=ties)
        pool = min(scores.shape[1], POOL * self.k)
        candidates = top_k(scores, pool, finish=finish, ties=ties)
        return rerank(*candidates, self.vectors, self.k, diversity=self.diversity)


def check_diversity(diversity: float) -> float:
    """Return the diversity weight as a float.

    Raises:
        UsageError: `diversity` is not a number from 0 to 1.
    """
    found = None if isinstance(diversity, str) else as_number(diversity)
    if found is None or not 0 <= found <= 1:
        raise UsageError(f"diversity: expected a number from 0 (scores only) to 1, such as 0.3; found {diversity!r}.")
    return found


def check_vectors(vectors: np.ndarray, n_items: int) -> np.ndarray:
    """Return item vectors as float32 (n_items, d).

    Raises:
        UsageError: `vectors` has another shape, or a number in it is not finite.
    """
    vectors = np.asarray(vectors, dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != n_items or not np.isfinite(vectors).all():
        raise UsageError(
            f"vectors: expected finite numbers, one row per item ({n_items:,} rows); found shape {vectors.shape}."
        )
    return vectors


def excluded_items(only: np.ndarray | None, exclude: np.ndarray | None, n_items: int) -> np.ndarray | None:
    """Return the mask of the items excluded from lists, bool (n_items,); None if neither `only` nor `exclude` is given.

    Args:
        only: items allowed in lists, as item indices or a mask bool (n_items,); None: all items.
        exclude: items not allowed, in the same form; None: no items.
        n_items: size of the catalogue.

    Raises:
        UsageError: `only` or `exclude` has another form, or an index is out of range.
    """
    if only is None and exclude is None:
        return None
    out = np.zeros(n_items, dtype=bool) if only is None else ~item_mask("only", only, n_items)
    return out if exclude is None else out | item_mask("exclude", exclude, n_items)


def item_mask(name: str, given: np.ndarray, n_items: int) -> np.ndarray:
    """Return a mask, bool (n_items,), of items that are given as indices or as a mask.

    Raises:
        UsageError: `given` has another form, or an index is out of range. The message starts with `name`.
    """
    texts = isinstance(given, (list, tuple)) and any(isinstance(value, str) for value in given)
    values = np.asarray(given, dtype=object if texts else None)  # a numpy text array pads all texts to the longest
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
