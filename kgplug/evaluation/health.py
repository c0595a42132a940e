"""Signs in a model's metrics that it has collapsed: lists worse than Popularity's, ranks no better than random."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from kgplug.data.interactions import Interactions
from kgplug.data.list_hits import list_hits, ndcg
from kgplug.data.values.keys import distinct
from kgplug.errors import KgplugError
from kgplug.evaluation.ranking import list_blocks
from kgplug.recommenders.base import Recommender
from kgplug.recommenders.models.popularity import Popularity

_K = 10
_USERS, _BLOCK = 2000, 100  # maximum number of users whose lists are compared, in total and at a time
_LEAST_USERS = 30  # minimum number of users for a judgement
_ERRORS = 3  # the mean difference of a collapsed model is more than this many standard errors below zero
_CLEARLY = 0.5  # share of Popularity's NDCG that healthy models with poor lists exceed, even on sparse data


def worse_than_popularity(
    model: Recommender,
    train: Interactions,
    test: Interactions,
    *,
    valid: Interactions | None = None,
    within_s: float | None = None,
) -> str | None:
    """Return a sentence if a model's lists are clearly worse than lists of the most popular items, otherwise None.

    The model is compared with the recommender `Popularity` by the NDCG@10 of a sample of test users, user by user. It
    is clearly worse if its mean is less than half of Popularity's, and lower by more than three standard errors of the
    mean difference. With fewer than 30 users, the result is None. It is also None for a model that gives all users the
    same list.

    Args:
        model: Model fitted on `train`.
        train, test, valid: Sets of one split, as in `evaluate_ranking`.
        within_s: Seconds after which to stop and judge by the users measured so far; None: no limit.
    """
    right = test.likes()
    users = distinct(right.users)
    if not model.personal or len(users) < _LEAST_USERS:
        return None
    users = users[:: -(-len(users) // _USERS)]
    popular = Popularity().fit(replace(train, weights=None))
    found = list(
        _measured((model, popular), right, train, valid, np.random.default_rng(0).permutation(users), within_s)
    )
    own, usual = np.concatenate(found, axis=1)  # (n,) each
    difference = own - usual
    error = difference.std() / np.sqrt(len(difference))
    if len(own) < _LEAST_USERS or difference.mean() >= -_ERRORS * error or own.mean() >= _CLEARLY * usual.mean():
        return None
    return (
        f"its lists are worse than the most popular items: NDCG@{_K} {own.mean():.4f} against {usual.mean():.4f} of "
        f"Popularity, for {len(own):,} users"
    )


def _measured(
    models: tuple[Recommender, Recommender],
    right: Interactions,
    train: Interactions,
    valid: Interactions | None,
    users: np.ndarray,
    within_s: float | None,
) -> Iterator[np.ndarray]:
    """Yield the NDCG of both models for one block of users at a time, float64 (2, b).

    Args:
        models: Two models, fitted on `train`.
        right: Relevant test rows.
        train, valid: A user's list leaves out the items that this user has in these sets.
        users: Users to measure, int64 (n,), in the order of measurement.
        within_s: Seconds after which to stop; None: no limit.
    """
    until = time.perf_counter() + (np.inf if within_s is None else within_s)
    for start in range(0, len(users), _BLOCK):
        some = np.sort(users[start : start + _BLOCK])
        rows = right.take(np.isin(right.users, some))
        lists = [next(list_blocks(model, rows, train, valid, min(_K, train.n_items)))[1] for model in models]
        yield np.stack([ndcg(list_hits(items, rows, some, (_K,))[0]) for items in lists])
        if time.perf_counter() > until:
            return


def no_better_than_guesses(mrr: float, n_ranks: int, n_entities: int) -> str | None:
    """Return a sentence if the mean reciprocal rank (MRR) of true triples is no better than random, otherwise None.

    Better means at least one standard error above the MRR of random ranks. With fewer than 60 ranks or 20 entities, the
    result is None.

    Args:
        mrr: MRR of the model.
        n_ranks: Number of ranks in the mean.
        n_entities: Number of entities ranked.
    """
    if n_ranks < 2 * _LEAST_USERS or n_entities < 2 * _K:
        return None
    places = 1.0 / np.arange(1, n_entities + 1)
    guessed, error = places.mean(), places.std() / np.sqrt(n_ranks)
    if mrr >= guessed + error:
        return None
    return f"it ranks true triples no better than guesses: MRR {mrr:.4f}, and random ranks have {guessed:.4f}"


def after_training(
    model: Recommender, train: Interactions, valid: Interactions | None, *, health: list[str], within_s: float
) -> list[str]:
    """Return the signs that a newly trained model has collapsed.

    These are the signs in `health`, and lists for validation users that are clearly worse than lists of the most
    popular items.

    Args:
        model: Model fitted on `train`.
        train, valid: Sets of one split.
        health: The signs that the training found.
        within_s: Maximum number of seconds for comparing lists.
    """
    found = list(health)
    if valid is None or not valid.is_like.any():
        return found
    try:
        worse = worse_than_popularity(model, train, valid, within_s=within_s)
    except KgplugError as error:  # a score is NaN
        worse = None if found else str(error)
    return found if worse is None else [*found, worse]
