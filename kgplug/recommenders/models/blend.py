"""Blend: several recommenders in one, with weights that the validation set chooses."""

from __future__ import annotations

import glob
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
from kgplug.data.values.keys import distinct, fingerprint
from kgplug.errors import UsageError
from kgplug.progress import bar
from kgplug.recommenders.base import Recommender
from kgplug.recommenders.catalogue import RECOMMENDERS
from kgplug.recommenders.models._blend_members import (
    BLEND,
    ItemsOfMembers,
    UsersOfMembers,
    by_member,
    class_of,
    keep,
    kept,
    listed,
    restored,
    run_of,
)
from kgplug.recommenders.parts.choosing.chosen_by_lists import Search, Tried, best_of
from kgplug.recommenders.parts.choosing.grid import CHOOSING, CHOOSING_FROM, LIKES_TO_CHOOSE_ON
from kgplug.recommenders.parts.choosing.validation_lists import MOST_USERS, Validation, spread_of_scores
from kgplug.recommenders.training_data import TrainingData
from kgplug.training.config import ModelConfig

_N_RANDOM = 300  # random items per user with which each of the user's likes competes
_NEGATIVES_STREAM = 0xB1E4D  # makes the draws of random items independent of all other draws
_BLOCK_CELLS = 4_000_000  # users × items whose scores by one member are in memory at a time
CLEARLY = 2.0  # a member gets all weight if its own lists are better than the blend's by this many standard errors
_MOST_TURNS = 6  # maximum number of weightings to try, as a multiple of the number of members
_LEAST = 0.01  # smallest weight at the start of the search, as a share of all weights: doubling cannot raise 0
_RIDGE = 1e-4  # weight of the penalty on squared weights, which gives equal models equal weights


class BlendConfig(ModelConfig):
    """Settings of Blend."""

    members: str = Field(
        "CEASE,LightGCN,MKR-attention",
        description="comma-separated names of models to train, or folders of runs trained on the same training set",
    )
    weights: tuple[float, ...] = Field(
        (),
        description="weight of each member's score, which is first divided by its standard deviation; by default "
        "chosen on the validation set",
    )
    member_settings: tuple[dict[str, Any], ...] = Field(
        (), description="one dict of settings per member; {} for a member with its defaults"
    )


class Blend(Recommender):
    """A weighted sum of the scores of several recommenders: score(u, i) = Σ_m w_m s_m(u, i) / σ_m, w_m ≥ 0.

    s_m is the score of member m; if the member applies a sigmoid, the score before the sigmoid. σ_m is the standard
    deviation of a user's scores by member m, averaged over users. The weights w_m are chosen on the validation set, in
    three steps:

    1. The first weights maximise the likelihood of a softmax in which each validation like competes with random items
       on which its user has no feedback (listwise stacking).
    2. The weights are doubled or halved, one after the other, as long as the lists for the validation users become
       better, or stay equally good while the AUC rises.
    3. If a member alone makes clearly better lists, it gets all weight.

    Lists are exact: all items are ranked by the sum.

    Source: L. Breiman, "Stacked Regressions", Machine Learning 24, 1996, for non-negative weights; J. Xia et al.,
    "Listwise Approach to Learning to Rank", ICML 2008, for the softmax with one relevant item.

    Attributes:
        members: The trained recommenders.
        scales: w_m / σ_m, float64 (n_members,).
        source: The member whose user and item vectors the blend returns as its own; None if no member with a weight
            above 0 has vectors.
    """

    name = BLEND
    inputs: Inputs = RECOMMENDERS[BLEND].inputs
    config_class = BlendConfig
    config: BlendConfig
    members: list[Recommender]
    scales: np.ndarray
    source: Recommender | None
    vectors_of_all: bool = True

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        members = listed(self.config.members)
        for what, given in (("weights", self.config.weights), ("member_settings", self.config.member_settings)):
            if given and len(given) != len(members):
                raise UsageError(f"Blend: {what} needs one entry for each of the {len(members)} members.")
        weights = self.config.weights
        if weights and (min(weights) < 0 or not max(weights) > 0):
            raise UsageError(f"Blend: weights must be 0 or more, and one above 0; found {weights}.")
        needs = [self._untrained(number, member).inputs for number, member in enumerate(members)]
        self.inputs = Inputs(**{need: any(getattr(each, need) for each in needs) for need in vars(Inputs())})

    def _untrained(self, number: int, member: str) -> Recommender:
        """Return an untrained member with its settings from `member_settings`. Raise UsageError if they are wrong.

        Args:
            number: Position of the member among the members.
            member: Name of a model, or folder of a run.
        """
        settings = self.config.member_settings[number] if self.config.member_settings else {}
        if settings and run_of(member) is not None:
            raise UsageError(f"Blend: {member} is a run, which already has settings: give {{}} in member_settings.")
        return class_of(member)(**settings)

    def _fit(self, data: TrainingData) -> None:
        trains_all = not any(run_of(member) for member in listed(self.config.members))
        enough = trains_all and data.interactions.is_like.sum() >= CHOOSING_FROM
        if not self.config.weights and data.valid is None and enough:
            part = data.divided(CHOOSING, "weights")
            with self._rows_of(part.interactions):
                self._combine(part)
        self._combine(data)
        if data.checkpoint is not None:
            stem, suffix = glob.escape(data.checkpoint.stem), data.checkpoint.suffix
            for path in data.checkpoint.parent.glob(f"{stem}-*member-*{suffix}"):
                path.unlink(missing_ok=True)

    def _combine(self, data: TrainingData) -> None:
        """Load or train all members. Then choose the weights, unless the user has set them."""
        members = list(enumerate(listed(self.config.members)))
        loaded = {number: self._loaded(run_dir) for number, member in members if (run_dir := run_of(member))}
        self.members = [loaded[n] if n in loaded else self._trained(n, member, data) for n, member in members]
        if not self.config.weights:
            self.config = self.config.model_copy(update={"weights": self._weights(data)})
        self.scales = np.array(self.config.weights) / self._spreads()
        self._take_vectors()
        settings = [member.config.model_dump() | _epochs(member) for member in self.members]
        names = ",".join(member.name for member in self.members)
        self.config = self.config.model_copy(update={"members": names, "member_settings": tuple(settings)})

    def _loaded(self, run_dir: Path) -> Recommender:
        """Return the model of a run. Raise UsageError if it was trained on other rows or likes than this blend."""
        arrays, content = read_artefact(run_dir)
        model = class_of(str(run_dir)).restored(run_dir, arrays, content)
        same = np.array_equal(model.user_keys, self.user_keys) and np.array_equal(model.item_keys, self.item_keys)
        if not same or abs(model.seen - self.seen).nnz or abs(model.liked - self.liked).nnz:
            raise UsageError(
                f"Blend: run {run_dir.name} was trained on other rows or likes than this training set, so its scores "
                f"would not be comparable. Name its model instead ({model.name}), or use the split of that run."
            )
        return model

    def _trained(self, number: int, member: str, data: TrainingData) -> Recommender:
        """Train a member, or load it if an earlier, interrupted training of the blend had already finished it.

        Args:
            number: Position of the member among the members.
            member: Name of a model.
            data: Training data.
        """
        model, file = self._untrained(number, member), data.checkpoint
        inputs: dict[str, Any] = {"seed": data.seed, "progress": data.progress}
        knowledge = data.knowledge if model.inputs.triples else None
        if file is None:
            return model.fit(data.interactions, knowledge, valid=data.valid, **inputs)
        texts = (data.interactions.texts_fingerprint or "",) if model.inputs.titles else ()
        mark = fingerprint(*data.fingerprints, model.name, model.config.model_dump_json(), str(data.seed), *texts)
        finished = file.with_name(f"{file.stem}-finished-member-{number}{file.suffix}")
        if (before := kept(finished, model.name, mark, self)) is not None:
            return before
        checkpoint = file.with_name(f"{file.stem}-member-{number}{file.suffix}")
        model.fit(data.interactions, knowledge, valid=data.valid, checkpoint=checkpoint, **inputs)
        keep(finished, model, mark)
        checkpoint.unlink(missing_ok=True)
        return model

    def _weights(self, data: TrainingData) -> tuple[float, ...]:
        """Return weights chosen on the validation set; equal weights if that set is missing or has too few likes.

        The search starts from `listwise_weights`. One after the other, the weights are doubled or halved, as long as
        the lists become better, or stay equally good while the AUC rises. If a member alone makes clearly better lists,
        it gets all weight.
        """
        learnt, valid, n = data.interactions, data.valid, len(self.members)
        if n == 1 or valid is None or valid.is_like.sum() < LIKES_TO_CHOOSE_ON:
            return (1.0 / n,) * n
        spreads, validation = self._spreads(), Validation(learnt, valid, seed=data.seed, items=None)

        progress = bar(None, what=f"{self.name}, choosing weights", unit="choice", progress=data.progress)

        def attempt(weights: np.ndarray) -> Tried:
            self.scales = weights / spreads
            progress.update()
            return Tried({"weights": [float(f"{each:.4g}") for each in weights]}, validation.measure(self))

        start = self._learnt_weights(learnt, valid, spreads, data.seed)
        start = np.maximum(start, _LEAST * start.sum()) if start.any() else np.ones(n)
        search = Search({str(m): start[m] for m in range(n)}, {str(m): 2.0 for m in range(n)})
        tried: list[Tried] = []
        with progress:
            for changes in islice(search.turns(), _MOST_TURNS * n):
                tried.append(attempt(np.array([changes.get(str(m), start[m]) for m in range(n)])))
                search.tried.append(replace(tried[-1], changes=changes))
            chosen = best_of(tried)
            alone = max(map(attempt, np.eye(n)), key=lambda each: each.quality.mean)
        loss, chance = chosen.quality.loss(alone.quality)
        if loss > CLEARLY * chance:
            chosen = alone
        self.tried = [each.told(chosen=each is chosen) for each in (*tried, alone)]
        return tuple(chosen.changes["weights"])

    def _learnt_weights(self, learnt: Interactions, valid: Interactions, spreads: np.ndarray, seed: int) -> np.ndarray:
        """Return `listwise_weights` for the validation likes of a sample of at most `MOST_USERS` users.

        The likes compete with random items on which their user has no feedback. If no user has such items, all weights
        are 1.

        Args:
            learnt: Training set.
            valid: Validation set.
            spreads: Standard deviation of each member's scores, float64 (n_members,).
            seed: Seed of the samples.
        """
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
        """Return each member's scores for n rows of k items, divided by that member's standard deviation.

        Args:
            items: Item indices, int64 (n, k). Each row is scored for one user.
            users: User indices, int64 (n_users,).
            lists: For each row of `items`, the position of its user in `users`, int64 (n,), ascending.
            spreads: Standard deviation of each member's scores, float64 (n_members,).

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
        """Return the standard deviation of each member's scores for a user, averaged over users, float64 (n_members,).

        Where it would be 0, because each user's scores are all equal, it is 1, so that it can be a divisor.
        """
        return np.array([spread_of_scores(member, self.liked) or 1.0 for member in self.members])

    def score(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Return the weighted sum of the members' scores of each pair, float32 (n,)."""
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

    def _take_vectors(self) -> None:
        """Set `source` to the member with the largest weight above 0, among those that have item vectors.

        Set it to None if there is no such member.
        """
        order = np.argsort(-np.array(self.config.weights), kind="stable")
        used = [self.members[number] for number in order if self.scales[number] > 0]
        self.source = next((member for member in used if member.item_vectors() is not None), None)
        self.vectors_of_all = self.source is None or self.source.vectors_of_all

    def item_vectors(self) -> np.ndarray | None:
        """Return the item vectors of the member `source`, float32 (n_items, d); None if `source` is None."""
        return None if self.source is None else self.source.item_vectors()

    def user_vectors(self) -> np.ndarray | None:
        """Return the user vectors of the member `source`, float32 (n_users, d); None if there are none."""
        return None if self.source is None else self.source.user_vectors()

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
        parts, names = by_member(arrays), listed(self.config.members)
        self.scales = arrays["scales"]
        self.members = [
            restored(name, dict(self.config.member_settings[number]), parts.get(f"{number}.{name}.", {}), self)
            for number, name in enumerate(names)
        ]
        self._take_vectors()


def listwise_weights(of_likes: np.ndarray, of_others: np.ndarray, lists: np.ndarray, *, n_items: int) -> np.ndarray:
    """Return the weights w ≥ 0 that maximise the mean log probability of likes, with a small L2 penalty on w.

    The probability of a like comes from a softmax over its score and the scores of its user's other items. A score is
    the sum of the members' scores, weighted by w.

    Args:
        of_likes: Score of each like by each member, float64 (n_likes, n_members).
        of_others: Scores of other items, float64 (n_users, n_others, n_members).
        lists: Row of each like's user in `of_others`, int64 (n_likes,).
        n_items: Number of all items. The n_others items of a user are a sample, so in the softmax each of them stands
            for n_items / n_others items.

    Returns:
        float64 (n_members,).
    """
    shift = of_others.mean(axis=1)  # (n_users, n_members); subtracting it does not change a softmax
    of_likes, of_others = of_likes - shift[lists], of_others - shift[:, None]
    _, n_others, n_members = of_others.shape
    more = math.log(n_items / n_others)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        own, others = of_likes @ weights, of_others @ weights  # (n_likes,), (n_users, n_others)
        most = logsumexp(others, axis=1)  # (n_users,)
        mean = np.einsum("un,unm->um", np.exp(others - most[:, None]), of_others)  # (n_users, n_members)
        total = np.logaddexp(own, more + most[lists])
        chance = np.exp(own - total)[:, None]  # probability of the like
        expected = chance * of_likes + (1 - chance) * mean[lists]
        value = (total - own).mean() + _RIDGE * (weights**2).sum()
        return float(value), (expected - of_likes).mean(axis=0) + 2 * _RIDGE * weights

    start = np.full(n_members, 1.0 / n_members)
    return minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * n_members).x


def _epochs(member: Recommender) -> dict[str, int]:
    """Return {"epochs": number of epochs chosen on the validation set}; {} if the training chose none."""
    return {"epochs": member.history["best_epoch"] + 1} if member.history.get("validation") else {}
