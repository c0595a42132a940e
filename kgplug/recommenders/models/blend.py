"""Blend: several recommenders in one, with weights that the validation set chooses."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import logsumexp

from kgplug.data.artefact import read_artefact
from kgplug.data.erasure.user_arrays import UserArrays
from kgplug.data.interactions import Interactions
from kgplug.data.kinds import Inputs
from kgplug.data.sampling import negative_sampler
from kgplug.data.values.keys import distinct
from kgplug.errors import UsageError
from kgplug.recommenders.base import Recommender
from kgplug.recommenders.catalogue import RECOMMENDERS
from kgplug.recommenders.models._blend_members import BLEND, ItemsOfMembers, UsersOfMembers, by_member, class_of, listed
from kgplug.recommenders.parts.chosen_by_lists import Search, Tried, best_of
from kgplug.recommenders.parts.grid import CHOOSING, CHOOSING_FROM, LIKES_TO_CHOOSE_ON
from kgplug.recommenders.parts.validation_lists import MOST_USERS, Validation, spread_of_scores
from kgplug.recommenders.training_data import TrainingData
from kgplug.training.config import ModelConfig

_N_RANDOM = 300  # random items per user with which each of the user's likes competes
_NEGATIVES_STREAM = 0xB1E4D  # makes the draws of random items independent of all other draws
_BLOCK_CELLS = 4_000_000  # users × items whose scores by one member are in memory at a time
_SHARED = (  # attributes that a restored member takes from the blend
    "user_keys", "item_keys", "user_label", "item_label", "own_items", "erased_items", "seen", "liked", "seed", "run",
    "history", "health", "tried", "graph_schema",
)  # fmt: skip
CLEARLY = 2.0  # standard errors by which a member's own lists must be better than the blend's to give it all weight
_MOST_TURNS = 6  # maximum number of weightings to try, as a multiple of the number of members
_LEAST = 0.01  # smallest share of a weight when the search starts, because doubling cannot raise 0
_RIDGE = 1e-4  # weight of the penalty on squared weights, which gives equal models equal weights


class BlendConfig(ModelConfig):
    """Settings of Blend."""

    members: str = Field(
        "CEASE,LightGCN,MKR-attention",
        description="models to train, or runs trained on the same training set; comma-separated",
    )
    weights: tuple[float, ...] = Field(
        (), description="weight of each member's score divided by its standard deviation; by default learnt"
    )
    member_settings: tuple[dict[str, Any], ...] = Field((), description="settings of each member; {} for its defaults")


class Blend(Recommender):
    """A weighted sum of the scores of several recommenders: score(u, i) = Σ_m w_m s_m(u, i) / σ_m, w_m ≥ 0.

    s_m is the score of member m before its sigmoid, if it has one. σ_m is the standard deviation of a user's scores,
    averaged over users. The initial weights maximise the likelihood of a softmax in which each validation like competes
    with random items that the user has no feedback on (listwise stacking). Then they are doubled or halved, one after
    the other, as long as NDCG@10 on the validation set grows. If a member alone makes clearly better lists, it gets all
    weight. Lists are exact: all items are ranked by the sum.

    Source: L. Breiman, "Stacked Regressions", Machine Learning 24, 1996, for non-negative weights; J. Xia et al.,
    "Listwise Approach to Learning to Rank", ICML 2008, for the softmax with one relevant item.

    Attributes:
        members: The trained recommenders.
        scales: w_m / σ_m, float64 (n_members,).
    """

    name = BLEND
    inputs: Inputs = RECOMMENDERS[BLEND].inputs
    config_class = BlendConfig
    config: BlendConfig
    members: list[Recommender]
    scales: np.ndarray

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        classes = [class_of(member) for member in listed(self.config.members)]
        for what, given in (("weights", self.config.weights), ("member_settings", self.config.member_settings)):
            if given and len(given) != len(classes):
                raise UsageError(f"Blend: {what} needs one entry for each of the {len(classes)} members.")
        weights = self.config.weights
        if weights and (min(weights) < 0 or not max(weights) > 0):
            raise UsageError(f"Blend: weights must be 0 or more, and one above 0; found {weights}.")
        self.inputs = Inputs(**{need: any(getattr(each.inputs, need) for each in classes) for need in vars(Inputs())})

    def _fit(self, data: TrainingData) -> None:
        members = listed(self.config.members)
        to_train = not any(Path(member).is_dir() for member in members)
        enough = to_train and data.interactions.is_like.sum() >= CHOOSING_FROM
        if not self.config.weights and data.valid is None and enough:
            learnt, valid = data.interactions.split(CHOOSING, seed=data.seed, by="row")
            with self._rows_of(learnt):
                self._fit(replace(data, interactions=learnt, valid=valid))
        self.members = [self._member(n, member, data) for n, member in enumerate(listed(self.config.members))]
        if not self.config.weights:
            self.config = self.config.model_copy(update={"weights": self._weights(data)})
        self.scales = np.array(self.config.weights) / self._spreads()
        settings = [member.config.model_dump() | _epochs(member) for member in self.members]
        names = ",".join(member.name for member in self.members)
        self.config = self.config.model_copy(update={"members": names, "member_settings": tuple(settings)})

    def _member(self, number: int, member: str, data: TrainingData) -> Recommender:
        """Return a trained member: load it from a run, or train it now.

        Args:
            number: Position of the member among the members.
            member: Folder of a run, or name of a model.
            data: Training data.
        """
        if Path(member).is_dir():
            arrays, content = read_artefact(Path(member))
            model = class_of(member).restored(Path(member), arrays, content)
            same = np.array_equal(model.user_keys, self.user_keys) and np.array_equal(model.item_keys, self.item_keys)
            if not same or abs(model.seen - self.seen).nnz:
                raise UsageError(
                    f"Blend: run {Path(member).name} was trained on other rows than this training set, so its scores "
                    f"would not be comparable. Name its model instead ({model.name}), or use the split of that run."
                )
            return model
        settings = self.config.member_settings[number] if self.config.member_settings else {}
        checkpoint = data.checkpoint
        if checkpoint is not None:
            checkpoint = checkpoint.with_name(f"{checkpoint.stem}-member-{number}{checkpoint.suffix}")
        model = class_of(member)(**settings)
        options: dict[str, Any] = {"seed": data.seed, "progress": data.progress, "checkpoint": checkpoint}
        knowledge = data.knowledge if model.inputs.triples else None
        return model.fit(data.interactions, knowledge, valid=data.valid, **options)

    def _weights(self, data: TrainingData) -> tuple[float, ...]:
        """Return the weights that the validation set chooses; equal ones if it is missing or has too few likes.

        They start from `listwise_weights`, and are doubled or halved one after the other as long as the lists become
        better. But if a member alone makes clearly better lists, it gets all weight.
        """
        learnt, valid, n = data.interactions, data.valid, len(self.members)
        if valid is None or valid.is_like.sum() < LIKES_TO_CHOOSE_ON:
            return (1.0 / n,) * n
        spreads, validation = self._spreads(), Validation(learnt, valid, seed=data.seed, items=None)

        def attempt(weights: np.ndarray) -> Tried:
            self.scales = weights / spreads
            rounded = [float(f"{each:.4g}") for each in weights]
            return Tried({"weights": rounded}, None, validation.measure(self))

        start = self._learnt_weights(learnt, valid, spreads, data.seed)
        start = np.maximum(start, _LEAST * start.sum()) if start.any() else np.ones(n)
        search = Search({str(m): start[m] for m in range(n)}, {str(m): 2.0 for m in range(n)})
        tried: list[Tried] = []
        for changes in islice(search.turns(), _MOST_TURNS * n):
            weights = np.array([changes.get(str(m), start[m]) for m in range(n)])
            tried.append(attempt(weights))
            search.tried.append(replace(tried[-1], changes=changes))
        chosen = best_of(tried)
        alone = max(map(attempt, np.eye(n)), key=lambda each: each.quality.mean)
        loss, chance = chosen.quality.loss(alone.quality)
        if loss > CLEARLY * chance:
            chosen = alone
        self.tried = [each.told(chosen=each is chosen) for each in (*tried, alone)]
        return tuple(chosen.changes["weights"])

    def _learnt_weights(self, learnt: Interactions, valid: Interactions, spreads: np.ndarray, seed: int) -> np.ndarray:
        """Return `listwise_weights`, comparing validation likes of at most `MOST_USERS` users with random items."""
        rng, likes = np.random.default_rng([seed, _NEGATIVES_STREAM]), valid.likes()
        known = negative_sampler(learnt, valid)
        users = distinct(likes.users[known.n_free[likes.users] > 0])  # the others have feedback on all items
        if len(users) > MOST_USERS:
            users = np.sort(rng.choice(users, MOST_USERS, replace=False))
        likes = likes.take(np.isin(likes.users, users))
        if not len(users):
            return np.ones(len(self.members))
        lists = np.searchsorted(users, likes.users)
        drawn = known.draw(np.repeat(users, _N_RANDOM), rng).reshape(len(users), -1)
        of_likes = self._scores_of(likes.items[:, None], users, lists, spreads)[:, 0]
        of_others = self._scores_of(drawn, users, np.arange(len(users)), spreads)
        return listwise_weights(of_likes, of_others, lists, n_items=learnt.n_items)

    def _scores_of(self, items: np.ndarray, users: np.ndarray, lists: np.ndarray, spreads: np.ndarray) -> np.ndarray:
        """Return s_m / σ_m by all members, for rows of k items. Each row is scored for one user.

        Args:
            items: Item indices, int64 (n, k).
            users: User indices, int64 (n_users,).
            lists: For each row of `items`, the position of its user in `users`, int64 (n,), ascending.
            spreads: σ_m, float64 (n_members,).

        Returns:
            float64 (n, k, n_members).
        """
        found = np.empty((*items.shape, len(self.members)))
        step = max(1, _BLOCK_CELLS // len(self.item_keys))
        for start in range(0, len(users), step):
            rows = slice(*np.searchsorted(lists, (start, start + step)))
            for m, member in enumerate(self.members):
                scores = member._unfinished_block(users[start : start + step])[0]  # (b, n_items)
                found[rows, :, m] = scores[lists[rows, None] - start, items[rows]]
        return found / spreads

    def _spreads(self) -> np.ndarray:
        """Return σ_m of each member, float64 (n_members,); 1 if all its scores are equal."""
        return np.array([spread_of_scores(member, self.liked) or 1.0 for member in self.members])

    def score(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Return Σ_m w_m s_m / σ_m of each pair, float32 (n,)."""
        users, items = self._pair_rows(users, items)
        total = np.zeros(len(users))
        for scale, member in zip(self.scales, self.members, strict=True):
            if scale:
                own, side = member.score_parts(users, items)
                total += scale * (own + side)
        return total.astype(np.float32)

    def _score_block(self, users: np.ndarray) -> np.ndarray:
        return self._sum([member._unfinished_block(users)[0] for member in self._in_use()])

    def _score_new_users(self, likes: sparse.csr_matrix) -> np.ndarray:
        return self._sum([member._unfinished_new_users(likes)[0] for member in self._in_use()])

    def _in_use(self) -> list[Recommender]:
        return [member for scale, member in zip(self.scales, self.members, strict=True) if scale]

    def _sum(self, scores: list[np.ndarray]) -> np.ndarray:
        total = np.zeros_like(scores[0])
        for scale, each in zip(self.scales[self.scales > 0], scores, strict=True):
            total += np.float32(scale) * each
        return total

    def _with_vectors(self) -> Recommender | None:
        """Return the member with the largest weight among those with item vectors; None if none has any."""
        order = np.argsort(-np.array(self.config.weights), kind="stable")
        return next((self.members[m] for m in order if self.members[m].item_vectors() is not None), None)

    def item_vectors(self) -> np.ndarray | None:
        """Return the item vectors of the member with the largest weight among those that have item vectors."""
        member = self._with_vectors()
        return None if member is None else member.item_vectors()

    def user_vectors(self) -> np.ndarray | None:
        """Return the user vectors of the same member as `item_vectors`."""
        member = self._with_vectors()
        return None if member is None else member.user_vectors()

    @classmethod
    def user_arrays(cls) -> UserArrays:
        return UsersOfMembers(items=ItemsOfMembers())

    def _arrays(self) -> dict[str, np.ndarray]:
        return {"scales": self.scales} | {
            f"{number}.{member.name}.{name}": array
            for number, member in enumerate(self.members)
            for name, array in member._state().items()
        }

    def _restore(self, arrays: dict[str, np.ndarray]) -> None:
        self.scales, self.members = arrays["scales"], []
        parts = by_member(arrays)
        for number, name in enumerate(listed(self.config.members)):
            kind = class_of(name)
            settings = kind.config_class.of_saved(dict(self.config.member_settings[number]))
            if "device" in settings:
                from kgplug.training.device import device_at_hand  # torch

                settings["device"] = device_at_hand(settings["device"])
            member = kind(**settings)
            for shared in _SHARED:
                setattr(member, shared, getattr(self, shared))
            member._take_state(parts.get(f"{number}.{name}.", {}))
            self.members.append(member)


def listwise_weights(of_likes: np.ndarray, of_others: np.ndarray, lists: np.ndarray, *, n_items: int) -> np.ndarray:
    """Return the weights w ≥ 0 that maximise the likes' mean log probability, with a small L2 penalty.

    The probability of a like comes from a softmax over its score and the scores of its user's other items.

    Args:
        of_likes: Score of each like by each member, float64 (n_likes, n_members).
        of_others: Scores of other items, float64 (n_users, n_others, n_members).
        lists: Row of each like's user in `of_others`, int64 (n_likes,).
        n_items: Number of all items, of which the n_others items are a sample.

    Returns:
        float64 (n_members,).
    """
    shift = of_others.mean(axis=1)  # (n_users, n_members); a softmax does not change if it is subtracted
    of_likes, of_others = of_likes - shift[lists], of_others - shift[:, None]
    _, n_others, n_members = of_others.shape
    more = math.log(n_items / n_others)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        own, others = of_likes @ weights, of_others @ weights  # (n_likes,), (n_users, n_others)
        most = logsumexp(others, axis=1)  # (n_users,)
        mean = np.einsum("un,unm->um", np.exp(others - most[:, None]), of_others)  # (n_users, n_members)
        total = np.logaddexp(own, more + most[lists])
        chance = np.exp(own - total)[:, None]  # of the like
        expected = chance * of_likes + (1 - chance) * mean[lists]
        value = (total - own).mean() + _RIDGE * (weights**2).sum()
        return float(value), (expected - of_likes).mean(axis=0) + 2 * _RIDGE * weights

    start = np.full(n_members, 1.0 / n_members)
    return minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * n_members).x


def _epochs(member: Recommender) -> dict[str, int]:
    """Return {"epochs": the number that the validation set chose}; {} if it chose none."""
    return {"epochs": member.history["best_epoch"] + 1} if member.history.get("validation") else {}
