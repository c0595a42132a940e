"""Blend: several recommenders in one, with weights that the validation set chooses."""

from __future__ import annotations

import importlib
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import logsumexp

from kgplug.data.artefact import peek_content, read_artefact
from kgplug.data.interactions import Interactions
from kgplug.data.kinds import LIKES_AND_TRIPLES, Inputs
from kgplug.data.sampling import negative_sampler
from kgplug.data.values.keys import distinct
from kgplug.errors import DataError, UsageError, unknown_name
from kgplug.recommenders.base import Recommender
from kgplug.recommenders.catalogue import RECOMMENDERS
from kgplug.recommenders.parts.chosen_by_lists import Tried, best_of
from kgplug.recommenders.parts.grid import CHOOSING
from kgplug.recommenders.parts.validation_lists import LISTED, MOST_USERS, Validation
from kgplug.recommenders.training_data import TrainingData
from kgplug.training.config import ModelConfig

_NEGATIVES, _NEGATIVES_STREAM = 300, 0xB1E4D  # per user, from which the weights are learnt
_SPREAD_USERS, _SPREAD_ROWS = 256, 64  # users whose scores' standard deviation is measured; of them at a time
_BLOCK_CELLS = 4_000_000  # users × items whose scores by one member are in memory at a time
_SHARED = (  # attributes of a restored member that are those of the blend
    "user_keys", "item_keys", "user_label", "item_label", "own_items", "erased_items", "seen", "liked", "seed", "run",
    "history", "health", "tried", "graph_schema",
)  # fmt: skip
_RIDGE = 1e-4  # weight of the squared weights, so that those of two equal models are equal


class BlendConfig(ModelConfig):
    """Settings of Blend."""

    members: str = Field(
        "CEASE,MKR-attention", description="models to train, or runs of the same training set, comma-separated"
    )
    weights: tuple[float, ...] = Field(
        (), description="weight of each member's score, in its standard deviations; by default learnt"
    )
    member_settings: tuple[dict[str, Any], ...] = Field((), description="settings of each member; {} for its defaults")


class Blend(Recommender):
    """A weighted sum of the scores of several recommenders: score(u, i) = Σ_m w_m s_m(u, i) / σ_m, w_m ≥ 0.

    s_m is the score of member m before its sigmoid, if it has one, and σ_m the standard deviation of a user's scores.
    The weights maximise the likelihood of a softmax in which each validation like competes with random items that the
    user has no feedback on (listwise stacking). The result is used if its lists on the validation set are better than
    those of every member alone; otherwise the best member has all weight.

    Source: L. Breiman, "Stacked Regressions", Machine Learning 24, 1996, for non-negative weights; J. Xia et al.,
    "Listwise Approach to Learning to Rank", ICML 2008, for the softmax with one relevant item.

    Attributes:
        members: The trained recommenders.
        scales: w_m / σ_m, float64 (n_members,).
    """

    name = "Blend"
    inputs: Inputs = LIKES_AND_TRIPLES
    config_class = BlendConfig
    config: BlendConfig
    members: list[Recommender]
    scales: np.ndarray

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        classes = [_class_of(member) for member in _listed(self.config.members)]
        for what, given in (("weights", self.config.weights), ("member_settings", self.config.member_settings)):
            if given and len(given) != len(classes):
                raise UsageError(f"Blend: {what} needs one entry for each of the {len(classes)} members.")
        self.inputs = Inputs(**{need: any(getattr(each.inputs, need) for each in classes) for need in vars(Inputs())})

    def _fit(self, data: TrainingData) -> None:
        if not self.config.weights and data.valid is None:
            learnt, valid = data.interactions.split(CHOOSING, seed=data.seed, by="row")
            with self._rows_of(learnt):
                self._fit(replace(data, interactions=learnt, valid=valid))
        self.members = [self._member(n, member, data) for n, member in enumerate(_listed(self.config.members))]
        if not self.config.weights and data.valid is not None:
            self._learn_weights(data.interactions, data.valid, data.seed)
        self.scales = np.array(self.config.weights) / self._spreads()
        settings = [member.config.model_dump() | _epochs(member) for member in self.members]
        names = ",".join(member.name for member in self.members)
        self.config = self.config.model_copy(update={"members": names, "member_settings": tuple(settings)})

    def _member(self, number: int, member: str, data: TrainingData) -> Recommender:
        """Return a trained member: a run, or a model that is trained now."""
        if Path(member).is_dir():
            arrays, content = read_artefact(Path(member))
            model = _class_of(member).restored(Path(member), arrays, content)
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
        model = _class_of(member)(**settings)
        options: dict[str, Any] = {"seed": data.seed, "progress": data.progress, "checkpoint": checkpoint}
        knowledge = data.knowledge if model.inputs.triples else None
        return model.fit(data.interactions, knowledge, valid=data.valid, **options)

    def _learn_weights(self, learnt: Interactions, valid: Interactions, seed: int) -> None:
        """Learn the weights on the validation set, and set them unless a member alone makes better lists."""
        if not valid.is_like.any():
            raise DataError("Blend learns its weights from likes of the validation set, and it has none. Set weights.")
        n = len(self.members)
        spreads = self._spreads()
        learned = listwise_weights(*self._competing(learnt, valid, spreads, seed), n_items=learnt.n_items)
        choices, validation = [tuple(learned), *map(tuple, np.eye(n))], Validation(learnt, valid, seed=seed, items=None)
        tried: list[Tried] = []
        for weights in choices:
            self.scales = np.array(weights) / spreads
            tried.append(Tried({"weights": tuple(round(float(w), 4) for w in weights)}, None, validation.measure(self)))
        best = best_of(tried)
        self.config = self.config.model_copy(update=best.changes)
        self.tried = [
            {
                "settings": each.changes,
                "epochs": None,
                "metric": f"NDCG@{LISTED}",
                "value": round(each.measured.mean, 4) if each.measured else None,
                "chosen": each is best,
                "note": "",
            }
            for each in tried
        ]

    def _competing(
        self, learnt: Interactions, valid: Interactions, spreads: np.ndarray, seed: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the arguments of `listwise_weights` for the validation likes of at most `MOST_USERS` users."""
        rng, likes = np.random.default_rng([seed, _NEGATIVES_STREAM]), valid.likes()
        users = distinct(likes.users)
        if len(users) > MOST_USERS:
            users = np.sort(rng.choice(users, MOST_USERS, replace=False))
            likes = likes.take(np.isin(likes.users, users))
        drawn = negative_sampler(learnt, valid).draw(np.repeat(users, _NEGATIVES), rng).reshape(len(users), -1)
        users, drawn = users[drawn[:, 0] >= 0], drawn[drawn[:, 0] >= 0]  # the others like all items
        likes = likes.take(np.isin(likes.users, users))
        of_likes = np.empty((len(likes), len(self.members)))
        of_others = np.empty((len(users), _NEGATIVES, len(self.members)))
        rows = max(1, _BLOCK_CELLS // len(self.item_keys))
        for start in range(0, len(users), rows):
            some = users[start : start + rows]
            own = np.flatnonzero(np.isin(likes.users, some))
            place = np.searchsorted(some, likes.users[own])
            for m, member in enumerate(self.members):
                scores = member._unfinished_block(some)[0] / spreads[m]
                of_likes[own, m] = scores[place, likes.items[own]]
                of_others[start : start + rows, :, m] = np.take_along_axis(scores, drawn[start : start + rows], axis=1)
        return of_likes, of_others, np.searchsorted(users, likes.users)

    def _spreads(self) -> np.ndarray:
        """Return the standard deviation of a user's scores, mean over users, for each member: float64 (n_members,)."""
        users = np.flatnonzero(np.diff(self.liked.indptr))
        users = users[:: max(1, -(-len(users) // _SPREAD_USERS))]
        found = [
            np.concatenate([
                member._unfinished_block(users[at : at + _SPREAD_ROWS])[0].std(axis=1)
                for at in range(0, len(users), _SPREAD_ROWS)
            ]).mean(dtype=np.float64)
            for member in self.members
        ]  # fmt: skip
        return np.where(np.array(found) > 0, found, 1.0)

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
        """Return the member with the largest weight among those with item vectors."""
        order = np.argsort(-np.array(self.config.weights), kind="stable")
        return next((self.members[m] for m in order if self.members[m].item_vectors() is not None), None)

    def item_vectors(self) -> np.ndarray | None:
        """Return the item vectors of the member with the largest weight that has some."""
        member = self._with_vectors()
        return None if member is None else member.item_vectors()

    def user_vectors(self) -> np.ndarray | None:
        """Return the user vectors of the member whose item vectors are returned."""
        member = self._with_vectors()
        return None if member is None else member.user_vectors()

    def _arrays(self) -> dict[str, np.ndarray]:
        return {"scales": self.scales} | {
            f"{number}.{name}": array
            for number, member in enumerate(self.members)
            for name, array in member._state().items()
        }

    def _restore(self, arrays: dict[str, np.ndarray]) -> None:
        self.scales, self.members = arrays["scales"], []
        for number, name in enumerate(_listed(self.config.members)):
            kind = _class_of(name)
            settings = kind.config_class.of_saved(dict(self.config.member_settings[number]))
            if "device" in settings:
                from kgplug.training.device import device_at_hand  # torch

                settings["device"] = device_at_hand(settings["device"])
            member = kind(**settings)
            for shared in _SHARED:
                setattr(member, shared, getattr(self, shared))
            mark = f"{number}."
            member._take_state({key.removeprefix(mark): each for key, each in arrays.items() if key.startswith(mark)})
            self.members.append(member)


def listwise_weights(of_likes: np.ndarray, of_others: np.ndarray, lists: np.ndarray, *, n_items: int) -> np.ndarray:
    """Return the weights w ≥ 0 that maximise Σ_l log softmax: each like competes with its user's other items.

    Args:
        of_likes: Score of each like by each member, float64 (n_likes, n_members).
        of_others: Scores of other items, float64 (n_users, n_others, n_members).
        lists: Row of `of_others` for each like, int64 (n_likes,).
        n_items: Number of items that the other items stand for.

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


def _listed(members: str) -> list[str]:
    """Return the names in a comma-separated text."""
    names = [name.strip() for name in members.split(",") if name.strip()]
    if not names:
        raise UsageError("Blend: members: expected names of recommenders such as CEASE,MKR; found none.")
    return names


def _class_of(member: str) -> type[Recommender]:
    """Return the class of a member: the name of a model, or the folder of a run."""
    if Path(member).is_dir():
        member = str(peek_content(Path(member)).get("model"))
    names = {name.lower(): name for name in RECOMMENDERS if name != Blend.name}
    if member.lower() not in names:
        raise unknown_name("member of Blend", member, list(names.values()))
    module, _, kind = RECOMMENDERS[names[member.lower()]].home.partition(":")
    return getattr(importlib.import_module(f"kgplug.recommenders.models.{module}"), kind)


def _epochs(member: Recommender) -> dict[str, int]:
    """Return the number of epochs that the validation set chose, as a setting; {} if it chose none."""
    return {"epochs": member.history["best_epoch"] + 1} if member.history.get("validation") else {}
