"""Recommenders without epochs, whose settings are chosen by the quality of their lists for the validation users.

A choice is one combination of values of the settings. Each choice is tried by a cheaper training (fewer items, or fewer
iterations), and the best choice is trained in full. The settings are changed one after the other, in steps. Steps in
one direction continue as long as each step gives the best lists so far. So the values to try have no fixed limits. For
each choice, several weights of the items' popularity in the score are also tried, which needs no training.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from kgplug.data.interactions import Interactions
from kgplug.errors import TrainingError
from kgplug.progress import bar
from kgplug.recommenders.base import Recommender
from kgplug.recommenders.health import model_findings
from kgplug.recommenders.parts.choosing.grid import CHOOSING, CHOOSING_FROM, LIKES_TO_CHOOSE_ON, searched, steps_away
from kgplug.recommenders.parts.choosing.validation_lists import LISTED, Measured, Validation, spread_of_scores
from kgplug.recommenders.training_data import TrainingData
from kgplug.training.config import ChosenConfig, Grid

# Minimum number of items in a cheaper training, and a seed that makes their draw independent of other draws.
_ITEMS_TO_CHOOSE_ON, _ITEMS_STREAM = 1_000, 0xEA5E
# Weights of popularity to try: standard deviation of the popularity term, divided by that of the scores without this
# term.
SHARES = (0.0, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


class ListsConfig(ChosenConfig):
    """Settings of a `ChosenByLists` model."""

    grid: ClassVar[Grid] = {"popularity": SHARES}

    popularity: float = Field(
        0.0,
        ge=0,
        description="weight of log1p(likes of the item) in the score; recommends popular items to users with few likes",
    )


@dataclass(frozen=True, eq=False)
class Tried:
    """One choice of settings, and the quality of its lists.

    Attributes:
        changes: Settings that differ from the defaults, and their values.
        measured: Quality of the lists; None if the training failed or the model collapsed.
        share: Size of the popularity term in the score, one of `SHARES`. The term is `popularity` · log1p(likes of the
            item), and its size is its standard deviation divided by that of the scores without the term.
        note: Why the training failed, "" if it did not.
    """

    changes: dict[str, Any]
    measured: Measured | None
    share: float = 0.0
    note: str = ""

    @property
    def quality(self) -> Measured:
        """Quality of the lists. Only for a choice whose training succeeded and whose model did not collapse."""
        assert self.measured is not None
        return self.measured

    def told(self, *, chosen: bool) -> dict[str, Any]:
        """Return these settings and their metrics as an entry of `Recommender.tried`.

        Args:
            chosen: Whether these settings are the best ones.
        """
        collapsed = "the model has collapsed" if self.measured is None else ""
        return {
            "settings": self.changes,
            "epochs": None,
            "metric": f"NDCG@{LISTED}",
            "value": None if self.measured is None else round(self.measured.mean, 4),
            "AUC": None if self.measured is None else round(self.measured.auc, 4),
            "chosen": chosen,
            "note": self.note or collapsed,
        }


def best_of(tried: list[Tried]) -> Tried:
    """Return the choice with the highest AUC among those whose lists are as good as the best ones (`Measured.ties`).

    If every training failed or every model collapsed, return the first choice.
    """
    alive = [each for each in tried if each.measured is not None]
    if not alive:
        return tried[0]
    leader = max((each.quality for each in alive), key=lambda quality: quality.mean)
    return max((each for each in alive if each.quality.ties(leader)), key=lambda each: each.quality.auc)


def items_to_try(candidates: np.ndarray, n_items: int, seed: int) -> np.ndarray:
    """Return a mask of the items to train on in a trial, bool (n_items,).

    A random half of the candidates is left out, but at least 1,000 of them are kept.

    Args:
        candidates: The items that the model can learn, int64 (n,).
        n_items: Number of all items.
        seed: Seed of the random draw.
    """
    some = np.ones(n_items, dtype=bool)
    most = max(_ITEMS_TO_CHOOSE_ON, -(-len(candidates) // 2))
    some[np.random.default_rng([seed, _ITEMS_STREAM]).permutation(candidates)[most:]] = False
    return some


class Search:
    """The order in which settings are tried.

    Iterate over `turns`, and append each choice's result to `tried` before taking the next choice.

    Args:
        defaults: Default of each setting in the grid.
        grid: Settings to change, each with the factor between neighbouring values, or all its values.
    """

    def __init__(self, defaults: Mapping[str, Any], grid: Grid) -> None:
        self._defaults, self._grid = defaults, grid
        self.tried: list[Tried] = []

    def turns(self) -> Iterator[dict[str, Any]]:
        """Yield each choice to try, as the settings that differ from the defaults. The first is {}."""
        yield {}
        for name, steps in self._grid.items():
            start = {key: value for key, value in best_of(self.tried).changes.items() if key in self._defaults}
            if isinstance(steps, tuple):
                for value in steps:
                    if value != start.get(name, self._defaults[name]):
                        yield {key: v for key, v in (start | {name: value}).items() if v != self._defaults[key]}
            else:
                yield from self._climb(start, name, steps)

    def _climb(self, start: dict[str, Any], name: str, factor: float) -> Iterator[dict[str, Any]]:
        """Yield `start` with setting `name` at default · factor, default · factor², … while each is the best so far.

        If the first of these is not the best so far, do the same with default / factor, default / factor², …
        """
        for direction in (1, -1):
            number = 0
            while number == 0 or best_of(self.tried) is self.tried[-1]:
                number += direction
                yield start | {name: steps_away(self._defaults[name], factor, number)}
            if number != direction:
                return


class ChosenByLists(Recommender):
    """A recommender without epochs whose settings can be chosen on the validation set.

    Attributes:
        n_trials: Maximum number of choices to train cheaply, including the defaults. On large data, their trainings
            together take about twice as long as the full training.
    """

    config: ListsConfig
    _given: ListsConfig
    n_trials: ClassVar[int]

    def _fit(self, data: TrainingData) -> None:
        grid, valid, learnt = searched(self._given), data.valid, data.interactions
        chosen: Tried | None = None
        if grid and valid is not None and valid.is_like.sum() >= LIKES_TO_CHOOSE_ON:
            chosen = self._choose(data, learnt, valid, grid)
        elif grid and valid is None and learnt.is_like.sum() >= CHOOSING_FROM:
            part, held_out = learnt.split(CHOOSING, seed=data.seed, by="row")
            chosen = self._choose(data, part, held_out, grid)
        self._learn(data)
        if chosen is not None and chosen.share:
            self._set_popularity(chosen.share * self._spread_ratio())
            told = next(trial for trial in self.tried if trial["chosen"])
            told["settings"] = told["settings"] | {"popularity": self.config.popularity}

    def _choose(self, data: TrainingData, learnt: Interactions, valid: Interactions, grid: Grid) -> Tried:
        """Try the choices of a grid, and return the best one.

        Also set `config` to the best settings, except `popularity`, which depends on the final training; and set
        `Recommender.tried` to the results of all choices.

        Args:
            data: All training data, for defaults, triples and seed.
            learnt: Rows to train on.
            valid: Rows to compare the lists on.
            grid: Settings to change.
        """
        shares = SHARES if "popularity" in grid else ()
        steps = {name: each for name, each in grid.items() if name != "popularity"}
        start, defaults = self.config, {name: self._default(name, data) for name in steps}
        part, search = replace(data, interactions=learnt, valid=None, progress=False), Search(defaults, steps)
        progress = bar(self.n_trials, what=f"{self.name}, choosing settings", unit="choice", progress=data.progress)
        tried: list[Tried] = []
        with progress, self._rows_of(learnt):
            for changes in islice(search.turns(), self.n_trials):
                self.config = start.model_copy(update=defaults | changes)
                found = self._trial(part, valid, changes, shares)
                search.tried.append(best_of(found))
                if not changes and search.tried[0] is not found[0]:
                    tried.append(found[0])  # the defaults themselves
                tried.append(search.tried[-1])
                progress.update()
        chosen = best_of(search.tried)
        kept = {name: value for name, value in chosen.changes.items() if name != "popularity"}
        self.config = start.model_copy(update=defaults | kept)
        self.tried = [each.told(chosen=each is chosen) for each in tried]
        return chosen

    def _trial(
        self, data: TrainingData, valid: Interactions, changes: dict[str, Any], shares: tuple[float, ...]
    ) -> list[Tried]:
        """Train cheaply with `config`, to which `changes` are already applied. Return a result for each share tried.

        A share says how much the popularity of items counts in the score (see `Tried`). If the training fails, the
        result records the failure. For the defaults (no `changes`), the error is raised.
        """
        try:
            items = self._learn(data, cheaply=True)
        except TrainingError as error:
            if not changes:
                raise
            return [Tried(changes, None, note=str(error))]
        validation = Validation(data.interactions, valid, seed=data.seed, items=items)
        if model_findings(self):
            return [Tried(changes, None)]
        found = [Tried(changes, validation.measure(self))]
        unit, leader, n_worse = self._spread_ratio(items), found[0].quality, 0
        for share in shares[1:]:
            self._set_popularity(share * unit)
            with_popularity = changes | {"popularity": self.config.popularity}
            found.append(Tried(with_popularity, validation.measure(self), share))
            if found[-1].quality.mean > leader.mean:
                leader = found[-1].quality
            n_worse = 0 if found[-1].quality.ties(leader) else n_worse + 1
            if n_worse == 2:  # even more popularity would not help
                break
        return found

    def _set_popularity(self, weight: float) -> None:
        self.config = self.config.model_copy(update={"popularity": float(f"{weight:.4g}")})
        self._rescore()

    def _spread_ratio(self, items: np.ndarray | None = None) -> float:
        """Return the standard deviation of scores divided by that of popularity, to give both the same scale.

        The first is the standard deviation of a user's scores over items, averaged over users. The second is that of
        log1p(likes of the item) over items.

        Args:
            items: Mask of the items to look at, bool (n_items,); None for all. Items without likes never count.
        """
        popularity = self.log_likes
        liked = (popularity > 0) if items is None else items & (popularity > 0)
        deviation = float(popularity[liked].std())
        return spread_of_scores(self, self.liked, liked) / deviation if deviation else 0.0

    @property
    def log_likes(self) -> np.ndarray:
        """log1p of each item's number of training likes, float32 (n_items,)."""
        return np.log1p(self.liked.getnnz(axis=0).astype(np.float32))

    def _default(self, name: str, data: TrainingData) -> Any:
        """Return the value from which the search for a setting starts. Settings that the user set are not searched."""
        del data
        return getattr(self.config, name)

    @abstractmethod
    def _learn(self, data: TrainingData, *, cheaply: bool = False) -> np.ndarray | None:
        """Train with `config`.

        Args:
            data: Training data.
            cheaply: Whether to train only for a comparison, in at most 2 / `n_trials` of the time of a full training.

        Returns:
            Mask of the items that were learnt, bool (n_items,); None for all.
        """

    def _rescore(self) -> None:
        """Adapt the trained model to a changed `config.popularity` without training it again."""
