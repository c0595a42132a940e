"""Measure models on users that they have never seen.

A model gets some rows of each such user, the profile, and predicts the user's other rows.

This is the protocol of a split by users (`Interactions.split(…, by="new-users")`). The profile is 80 % of a user's
rows, as in D. Liang et al., WWW 2018 ("strong generalization").
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np

from kgplug.data.interactions import Interactions, Order
from kgplug.data.values.keys import distinct
from kgplug.errors import UsageError
from kgplug.recommenders.base import Recommender
from kgplug.recommenders.parts.by_profile import ByProfile

PROFILE = (0.8, 0.2)  # fractions of a new user's rows: the profile, and the rows to predict


def profile_and_rest(rows: Interactions, *, order: Order = "random") -> tuple[Interactions, Interactions]:
    """Split the rows of new users into their profiles and the rows to predict.

    Args:
        rows: Validation or test set of a split by users.
        order: "random", or "time" for profiles of earlier rows.
    """
    profile, rest = rows.split(PROFILE, by="user", order=order)
    return profile, rest


def is_in_profile(rows: Interactions, *, order: Order) -> np.ndarray:
    """Return whether each row is in its user's profile, as `profile_and_rest` splits the rows: bool (n,)."""
    return np.isin(rows.pairs, profile_and_rest(rows, order=order)[0].pairs)


def with_profiles(train: Interactions, profiles: Interactions) -> Interactions:
    """Join a training set and the profiles of new users from the same split. Likes are rated 1, other rows 0."""
    both = (train, profiles)
    order = np.argsort(np.concatenate([rows.pairs for rows in both]), kind="stable")
    return replace(
        train,
        users=np.concatenate([rows.users for rows in both])[order],
        items=np.concatenate([rows.items for rows in both])[order],
        ratings=np.concatenate([rows.is_like for rows in both])[order].astype(np.float32),
        like_threshold=1.0,
        timestamps=None,
        counts=None,
        ratings_are_counts=False,
        weights=None,
    )


def by_profile(model: Recommender, known: Interactions) -> Recommender:
    """Return a model that scores every user as a new one, by the user's likes among the rows `known`.

    The returned model has only the members that are needed to measure it: `score`, `recommend`, `personal` and
    `scores_are_probabilities`.
    """
    return cast("Recommender", ByProfile(model, known))


def as_new_users(
    model: Recommender, train: Interactions, held_out: Interactions, *, order: Order
) -> tuple[Recommender, Interactions, Interactions]:
    """Convert a model and two sets of a split by users, so that users of the held-out set are measured as new users.

    Returns:
        (model, known, rest): a model that scores users by their profiles, the training set joined with the profiles,
        and the rows to predict.
    """
    profile, rest = profile_and_rest(held_out, order=order)
    known = with_profiles(train, profile)
    return by_profile(model, known), known, rest


def refuse_seen_users(learnt: Interactions | Recommender, *parts: Interactions) -> None:
    """Raise UsageError if a user of `parts` has training rows.

    Args:
        learnt: The training set, or a model that was fitted on it.
        parts: Sets whose users must be new.
    """
    users = distinct(np.concatenate([part.users for part in parts]))
    if isinstance(learnt, Interactions):
        n_rows, where = np.bincount(learnt.users, minlength=learnt.n_users), "in the training set"
    else:
        n_rows, where = np.diff(learnt.seen.indptr), f"among the users that {learnt.name} was fitted on"
    seen = users[n_rows[users] > 0]
    if len(seen):
        key = parts[0].user_keys[seen[0]]
        raise UsageError(
            f"Profiles are those of new users, and {len(seen):,} of these {len(users):,} users are {where}, such as "
            f'{key!r}. Split the interactions with by="new-users".'
        )
