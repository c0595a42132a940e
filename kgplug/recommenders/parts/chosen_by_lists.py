"""Recommenders without epochs: their settings are chosen by the lists that they make for the validation set.

Each choice is learnt by a cheaper training (fewer items, or fewer iterations), and the winner in full. One setting at a
time is changed by one step; where such a change leads, the next step in its direction follows, so the grid has no edge.
For each choice, a weight of the items' popularity in the score is chosen as well. That needs no training.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from kgplug.data.interactions import Interactions
from kgplug.data.list_hits import list_hits, ndcg
from kgplug.data.ranking.auc import auc
from kgplug.data.sampling import negative_sampler
from kgplug.data.values.keys import distinct
from kgplug.progress import bar
from kgplug.recommenders.base import Recommender
from kgplug.recommenders.health import model_findings
from kgplug.recommenders.parts.grid import CHOOSING, CHOOSING_FROM, LIKES_TO_CHOOSE_ON, searched, steps_away
from kgplug.recommenders.training_data import TrainingData
from kgplug.training.config import ChosenConfig, Grid

LISTED = 10  # length of the lists
MOST_USERS = 2_000  # whose lists are compared
SHARES = (0.0, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # of popularity in the scores, see `ChosenByLists._spread_ratio`
_USERS_STREAM, _NEGATIVES_STREAM = 0x115D, 0x7A11D  # make these draws independent of all others


class ListsConfig(ChosenConfig):
    """Settings of a model that is chosen by its lists."""

    popularity: float = Field(
        0.0,
        ge=0,
        description="weight of log1p(likes of the item) in the score; recommends popular items to users with few likes",
    )


@dataclass(frozen=True, eq=False)
class Measured:
    """How good the lists of one choice are.

    Attributes:
        ndcg: NDCG@10 of each user, float64 (n_users,).
        auc: AUC of these users' validation likes against as many random items.
    """

    ndcg: np.ndarray
    auc: float

    def ties(self, other: Measured) -> bool:
        """Return whether the lists are as good as better ones: but for chance (one standard error) and 2 %."""
        loss = other.ndcg - self.ndcg
        chance = float(loss.std()) / math.sqrt(len(loss))
        return float(loss.mean()) <= min(chance, 0.02 * float(other.ndcg.mean()))


@dataclass(frozen=True, eq=False)
class Tried:
    """One choice of settings.

    Attributes:
        changes: Settings that differ from the defaults.
        share: Share of popularity in the scores.
        measured: How good its lists are; None if the model collapsed.
    """

    changes: dict[str, Any]
    share: float
    measured: Measured | None


def best_of(tried: list[Tried]) -> Tried:
    """Return the choice with the highest AUC among those with the best lists; the first one if all collapsed."""
    alive = [(each, each.measured) for each in tried if each.measured is not None]
    if not alive:
        return tried[0]
    leader = max((measured for _, measured in alive), key=lambda measured: measured.ndcg.mean())
    return max((pair for pair in alive if pair[1].ties(leader)), key=lambda pair: pair[1].auc)[0]


class Validation:
    """The validation set's likes among some items, of at most `MOST_USERS` users, and one negative for each.

    Args:
        train, valid: Sets of one split.
        seed: Seed of the choice of users and of the negatives.
        items: Mask of the items, bool (n_items,); None for all.
    """

    def __init__(self, train: Interactions, valid: Interactions, *, seed: int, items: np.ndarray | None) -> None:
        self._items, likes = items, valid.likes()
        if items is not None:
            likes = likes.take(items[likes.items])
        users = distinct(likes.users)
        if len(users) > MOST_USERS:
            rng = np.random.default_rng([seed, _USERS_STREAM])
            users = np.sort(rng.choice(users, MOST_USERS, replace=False))
            likes = likes.take(np.isin(likes.users, users))
        self._users, self._likes = users, likes
        negatives = negative_sampler(train, valid).draw(likes.users, np.random.default_rng([seed, _NEGATIVES_STREAM]))
        usable = negatives >= 0 if items is None else (negatives >= 0) & items[negatives]
        self._pairs = (
            np.concatenate([likes.users, likes.users[usable]]),
            np.concatenate([likes.items, negatives[usable]]),
        )

    def measure(self, model: Recommender) -> Measured:
        """Measure the lists and scores of a trained model."""
        items, _ = model.recommend(self._users, LISTED, only=self._items)
        hits = list_hits(items, self._likes, self._users, (LISTED,))[0]
        is_like = np.arange(len(self._pairs[0])) < len(self._likes)
        scores = model.score(*self._pairs)
        return Measured(ndcg(hits), 0.5 if is_like.all() else auc(is_like, scores))


class ChosenByLists(Recommender):
    """A recommender without epochs, the settings of which can be chosen on the validation set.

    Attributes:
        n_trials: Number of choices to learn cheaply, the defaults included, so that all together take at most twice as
            long as the full training.
    """

    config: ListsConfig
    _given: ListsConfig
    n_trials: ClassVar[int]

    def _fit(self, data: TrainingData) -> None:
        grid, valid, learnt = searched(self._given), data.valid, data.interactions
        share: float | None = None
        if grid and valid is not None and valid.is_like.sum() >= LIKES_TO_CHOOSE_ON:
            share = self._choose(data, learnt, valid, grid)
        elif grid and valid is None and learnt.is_like.sum() >= CHOOSING_FROM:
            share = self._choose(data, *learnt.split(CHOOSING, seed=data.seed, by="row"), grid)
        self._learn(data)
        if share is not None:
            self._add_popularity(share)
            self.tried = [
                trial | {"settings": trial["settings"] | {"popularity": self.config.popularity}}
                if trial["chosen"] and share
                else trial
                for trial in self.tried
            ]

    def _choose(self, data: TrainingData, learnt: Interactions, valid: Interactions, grid: Grid) -> float:
        """Set the best settings and return the share of popularity that goes with them."""
        start, defaults = self.config, {name: self._default(name, data) for name in grid}
        part = replace(data, interactions=learnt, valid=None, progress=False)
        tried: list[Tried] = []

        def attempt(changes: dict[str, Any]) -> bool:
            """Try a choice, unless it was tried, and return whether it leads."""
            if len(tried) == self.n_trials or any(each.changes == changes for each in tried):
                return False
            self.config = start.model_copy(update=defaults | changes)
            tried.append(self._trial(part, valid, changes))
            progress.update()
            return best_of(tried) is tried[-1]

        progress = bar(self.n_trials, what=f"{self.name}, choosing settings", unit="choice", progress=data.progress)
        with progress, self._rows_of(learnt):
            attempt({})
            for name, steps in grid.items():
                best = best_of(tried).changes
                if isinstance(steps, tuple):
                    for value in steps:
                        attempt({key: v for key, v in (best | {name: value}).items() if v != defaults[key]})
                    continue
                for direction in (1, -1):
                    number = direction
                    while attempt(best | {name: steps_away(defaults[name], steps, number)}):
                        number += direction
                    if number != direction:
                        break
        chosen = best_of(tried)
        self.config = start.model_copy(update=defaults | chosen.changes)
        self.tried = [
            {
                "settings": each.changes,
                "epochs": None,
                "metric": "NDCG@10",
                "value": None if each.measured is None else round(float(each.measured.ndcg.mean()), 4),
                "chosen": each is chosen,
                "note": "the model has collapsed" if each.measured is None else "",
            }
            for each in tried
        ]
        return chosen.share

    def _trial(self, data: TrainingData, valid: Interactions, changes: dict[str, Any]) -> Tried:
        """Learn cheaply with `config`, and choose the share of popularity."""
        validation = Validation(data.interactions, valid, seed=data.seed, items=self._learn(data, cheaply=True))
        if model_findings(self):
            return Tried(changes, 0.0, None)
        by_share: list[Tried] = []
        for share in SHARES:
            self._add_popularity(share)
            by_share.append(Tried(changes, share, validation.measure(self)))
        return best_of(by_share)

    def _add_popularity(self, share: float) -> None:
        """Set the weight of popularity so that it has a given share in the scores."""
        self.config = self.config.model_copy(update={"popularity": 0.0})
        self._rescore()
        if share > 0:
            weight = float(f"{share * self._spread_ratio():.4g}")
            self.config = self.config.model_copy(update={"popularity": weight})
            self._rescore()

    def _spread_ratio(self) -> float:
        """Return the standard deviation of a user's scores (the mean over users), divided by that of log1p(likes)."""
        users = np.flatnonzero(np.diff(self.liked.indptr))
        users = users[:: max(1, -(-len(users) // 256))]
        liked = self.log_likes > 0
        scores = np.concatenate([self._score_block(users[at : at + 64])[:, liked] for at in range(0, len(users), 64)])
        return float(scores.std(axis=1).mean()) / max(float(self.log_likes[liked].std()), 1e-9)

    @property
    def log_likes(self) -> np.ndarray:
        """log1p of each item's number of training likes, float32 (n_items,)."""
        return np.log1p(self.liked.getnnz(axis=0).astype(np.float32))

    @contextmanager
    def _rows_of(self, interactions: Interactions) -> Generator[None]:
        """Let the lists leave out only these training rows."""
        kept = self.seen, self.liked
        self.seen, self.liked, self._places = interactions.matrix(), interactions.likes().matrix(), None
        try:
            yield
        finally:
            (self.seen, self.liked), self._places = kept, None

    def _default(self, name: str, data: TrainingData) -> Any:
        """Return the value of a setting that the user did not set."""
        del data
        return getattr(self.config, name)

    @abstractmethod
    def _learn(self, data: TrainingData, *, cheaply: bool = False) -> np.ndarray | None:
        """Learn with `config`.

        Args:
            data: The data.
            cheaply: For a comparison: take at most 2 / `n_trials` of the time.

        Returns:
            Mask of the items it learnt, bool (n_items,); None for all.
        """

    def _rescore(self) -> None:
        """Apply a changed `config.popularity` to what was learnt."""
