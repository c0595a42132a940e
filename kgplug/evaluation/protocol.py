"""Split click-through data by the "honest" protocol or by that of the papers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from kgplug.data.interactions import Interactions
from kgplug.data.values.columns import as_like_threshold, as_number
from kgplug.data.values.whole_numbers import is_whole
from kgplug.errors import DataError, UsageError
from kgplug.evaluation.ctr import LabelledPairs, label_pairs, sample_negatives_for_evaluation

Protocol = Literal["honest", "paper"]
PROTOCOLS = ("honest", "paper")


@dataclass(frozen=True, eq=False)
class ClickThroughParts:
    """Sets to fit on and pairs to measure on.

    Attributes:
        train: Training set: likes, and rows that are not likes (low ratings or, in the papers' protocol, negatives).
        valid: Validation set, None if it has no like.
        valid_pairs: Pairs of the validation set, None without `valid`.
        test_pairs: Pairs of the test set.
    """

    train: Interactions
    valid: Interactions | None
    valid_pairs: LabelledPairs | None
    test_pairs: LabelledPairs


def divide(
    interactions: Interactions,
    fractions: Sequence[float],
    *,
    like_threshold: float | None,
    protocol: Protocol,
    seed: int,
) -> ClickThroughParts:
    """Split interactions by one of the protocols.

    Args:
        interactions: All rows. An item that a user rated low is never drawn as the user's negative.
        fractions: Shares of the training, validation and test set.
        like_threshold: The lowest rating of a positive row. Every row is positive if `like_threshold` is None, if there
            are no ratings, or if ratings are only counts of merged source rows (`Interactions.ratings_are_counts`).
        protocol: "honest" splits the positives, then draws negatives for each set; "paper" draws negatives for all
            positives, then splits both kinds by row.
        seed: Seed of the split and of the negatives.

    Raises:
        UsageError: an argument is wrong.
        DataError: there are too few positives to put one each in the training and the test set.
    """
    _check(fractions, like_threshold, protocol, seed)
    like_threshold = None if interactions.ratings_are_counts else as_like_threshold(like_threshold)
    positives = interactions.with_like_threshold(like_threshold).likes()
    if len(positives) == 0:
        ratings = np.empty(0) if interactions.ratings is None else interactions.ratings
        raise DataError(
            f"like_threshold={like_threshold}: expected at most the highest rating; "
            f"ratings run from {ratings.min():g} to {ratings.max():g}."
            if len(ratings)
            else "Click-through needs at least one row of feedback; found none."
        )
    rng = np.random.default_rng([seed, 1])
    data = (_honest if protocol == "honest" else _as_papers)(positives, interactions, fractions, seed, rng)
    if data is None:
        raise DataError(
            f"Too few positives ({len(positives):,}) for the fractions {tuple(fractions)}: both the training and "
            "the test set need one."
        )
    return data


def _honest(
    positives: Interactions, everything: Interactions, fractions: Sequence[float], seed: int, rng: np.random.Generator
) -> ClickThroughParts | None:
    train, valid, test = positives.split(fractions, seed=seed, by="row")
    if len(train) == 0 or len(test) == 0:
        return None
    valid_pairs = label_pairs(valid, [everything], rng) if len(valid) else None
    test_pairs = label_pairs(test, [everything], rng)
    train = _with_low_rated(train, everything.with_like_threshold(train.like_threshold), fractions, seed)
    return ClickThroughParts(train, valid if len(valid) else None, valid_pairs, test_pairs)


def _with_low_rated(
    train: Interactions, everything: Interactions, fractions: Sequence[float], seed: int
) -> Interactions:
    """Return the training set plus a share `fractions[0]` of all rows that are not likes.

    The added rows are never test pairs, because test pairs are likes, and items on which the user has no feedback.
    """
    low = everything.take(~everything.is_like).split(fractions, seed=seed, by="row")[0]
    return everything.take(np.isin(everything.pairs, np.concatenate([train.pairs, low.pairs]))) if len(low) else train


def _as_papers(
    positives: Interactions, everything: Interactions, fractions: Sequence[float], seed: int, rng: np.random.Generator
) -> ClickThroughParts | None:
    users, items = sample_negatives_for_evaluation(positives, [everything], rng)
    weights = positives.weights
    rows = Interactions.from_arrays(
        positives.user_keys,
        positives.item_keys,
        np.concatenate([positives.users, users]),
        np.concatenate([positives.items, items]),
        ratings=np.repeat(np.array([1, 0], dtype=np.float32), [len(positives), len(users)]),
        like_threshold=1,
        user_label=positives.user_label,
        item_label=positives.item_label,
        item_texts=positives.item_texts,
        own_items=positives.own_items,
        weights=None if weights is None else np.concatenate([weights, np.full(len(users), weights.mean())]),
    )
    train, valid, test = rows.split(fractions, seed=seed, by="row")
    if not train.is_like.any() or not test.is_like.any():
        return None
    usable = valid.is_like.any()
    return ClickThroughParts(train, valid if usable else None, _pairs(valid) if usable else None, _pairs(test))


def _pairs(rows: Interactions) -> LabelledPairs:
    return LabelledPairs(rows.users, rows.items, rows.is_like)


def _check(fractions: Sequence[float], like_threshold: float | None, protocol: str, seed: int) -> None:
    if protocol not in PROTOCOLS:
        raise UsageError(f'protocol: expected "honest" or "paper", found {protocol!r}.')
    if len(fractions) != 3:
        raise UsageError(f"fractions: expected three, for training, validation and test set; found {fractions!r}.")
    if like_threshold is not None and (isinstance(like_threshold, str) or as_number(like_threshold) is None):
        raise UsageError(f"like_threshold: expected the lowest rating of a like, or None; found {like_threshold!r}.")
    if not is_whole(seed) or seed < 0:
        raise UsageError(f"seeds: expected whole numbers from 0 on, found {seed!r}.")
