"""Signs that a trained recommender has collapsed: its vectors no longer change the lists.

A list may look fine even if the model's vectors have shrunk to zero, because item biases and the side term (a score
from counts of likes) still order the items. So scores with and without the contribution of the vectors are compared.
This contribution is the part of a score that depends on the pair, not on the user alone or the item alone (the
interaction term in an analysis of variance).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np
from scipy.special import expit

from kgplug.data.health import MARGIN, NEARLY_ALL, SEVERAL, list_findings, vector_findings

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from kgplug.data.publication import TopLists

_USERS, _POPULAR, _OTHERS = 64, 64, 192  # sample sizes: users, most popular items, other items
_PLACES = 10  # length of the lists that are compared
# Vectors may have no effect if they cause less than this share of the variance of a user's scores over items. It is
# 1 % of the standard deviation.
_LEAST_SHARE = 1e-4


class Trained(Protocol):
    """The part of `kgplug.recommenders.base.Recommender` that the health checks read."""

    personal: ClassVar[bool]
    vectors_of_all: ClassVar[bool]
    scores_are_probabilities: ClassVar[bool]

    @property
    def user_label(self) -> str: ...
    @property
    def item_label(self) -> str: ...
    @property
    def item_keys(self) -> np.ndarray: ...
    @property
    def liked(self) -> csr_matrix: ...
    def user_vectors(self) -> np.ndarray | None: ...
    def item_vectors(self) -> np.ndarray | None: ...
    def score(self, users: np.ndarray, items: np.ndarray) -> np.ndarray: ...
    def score_parts(self, users: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]: ...


def model_findings(model: Trained, lists: TopLists | None = None) -> list[str]:
    """Return signs that a trained recommender has collapsed, one sentence each; [] if there are none.

    Args:
        model: A trained model.
        lists: The model's lists, if they should also be checked.
    """
    if not model.personal:
        return []
    found = []
    has_vectors = False
    for what, vectors, likes in (
        (model.user_label or "user", model.user_vectors(), np.diff(model.liked.indptr)),
        (model.item_label or "item", model.item_vectors(), np.bincount(model.liked.indices, minlength=_n(model))),
    ):
        if vectors is not None and len(vectors) == len(likes):
            learnt = likes > 0 if model.vectors_of_all else None
            found += vector_findings(what, vectors, learnt=learnt)
            has_vectors = True
    own = hasattr(model, "logits") or has_vectors
    found += _score_findings(model, own=own, learnt="its vectors" if has_vectors else "the differences between users")
    if lists is not None:
        found += list_findings(lists, probabilities=model.scores_are_probabilities, counts=not own)
    return found


def _n(model: Trained) -> int:
    return len(model.item_keys)


def _score_findings(model: Trained, *, own: bool, learnt: str) -> list[str]:
    """Return [] or one sign of collapse, found in the scores of a sample of users and items.

    Args:
        model: A trained model.
        own: True if the model has vectors or other weights that training has learnt. False if it only counts likes;
            then there are no vectors to check.
        learnt: What makes the lists of two users differ, for the sentence.
    """
    users, items = _sample(model)
    if len(users) < SEVERAL or len(items) < SEVERAL:
        return []
    pairs = np.repeat(users, len(items)), np.tile(items, len(users))
    part, rest = model.score_parts(*pairs)
    part, total = part.reshape(len(users), -1), (part + rest).reshape(len(users), -1)  # (users, items)
    if not np.isfinite(total).all():
        return [f"{(~np.isfinite(total)).mean():.0%} of the sampled scores are not finite numbers"]
    within = float((total - total.mean(axis=1, keepdims=True)).var())
    if within == 0:
        return ["all items have the same score"]
    if not own:
        return []
    interaction = part - part.mean(axis=1, keepdims=True) - part.mean(axis=0) + part.mean()
    share = float(interaction.var()) / within
    kept = (_best(total) == _best(total - interaction)).mean()
    if share < _LEAST_SHARE and kept >= NEARLY_ALL:
        return [
            f"{learnt} do not affect its lists (they cause {share:.1g} of the variance of a user's scores; without "
            f"them, {kept:.0%} of the top places have the same item)"
        ]
    return _saturated(model, total) if model.scores_are_probabilities else []


def _saturated(model: Trained, logits: np.ndarray) -> list[str]:
    """Return one sentence if nearly all probabilities are 1, or nearly all likes have probability 0; otherwise []."""
    probabilities = expit(logits.astype(np.float64))
    if (probabilities >= 1 - MARGIN).mean() >= NEARLY_ALL:
        return [f"{(probabilities >= 1 - MARGIN).mean():.0%} of all probabilities are at least {1 - MARGIN}"]
    liked = model.liked.tocoo()
    some = slice(None, None, -(-liked.nnz // (_USERS * _OTHERS)))
    scores = model.score(liked.row[some], liked.col[some])
    if (scores <= MARGIN).mean() >= NEARLY_ALL:
        return [f"{(scores <= MARGIN).mean():.0%} of the training likes have a probability of at most {MARGIN}"]
    return []


def _sample(model: Trained) -> tuple[np.ndarray, np.ndarray]:
    """Return a sample of users with likes, and a sample of items: the most popular ones and some of the others.

    Both are indices, int64.
    """
    users = _spaced(np.flatnonzero(np.diff(model.liked.indptr)), _USERS)
    order = np.argsort(-np.bincount(model.liked.indices, minlength=_n(model)), kind="stable")
    return users, np.concatenate([order[:_POPULAR], _spaced(order[_POPULAR:], _OTHERS)])


def _spaced(numbers: np.ndarray, n: int) -> np.ndarray:
    return numbers[:: max(1, -(-len(numbers) // n))]


def _best(scores: np.ndarray) -> np.ndarray:
    return np.argsort(-scores, axis=1, kind="stable")[:, :_PLACES]
