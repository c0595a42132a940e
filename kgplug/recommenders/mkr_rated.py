"""MKR-rated: MKR for ratings, with disliked items as negatives and users described by what they rated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field

from kgplug.data.interactions import Interactions
from kgplug.errors import DataError
from kgplug.recommenders.click_through import ClickThroughData, Pairs
from kgplug.recommenders.mkr import MKR, MKRConfig, MKRTask
from kgplug.recommenders.mkr_network import MKRNetwork
from kgplug.recommenders.mkr_tastes import TasteNetwork, TasteTask
from kgplug.recommenders.side_term import SideTerm
from kgplug.training.config import DataSize

HALF_POINT = 0.5  # of a rating, between the least like and the best dislike


class MKRRatedConfig(MKRConfig):
    """Settings of MKR-rated: those of MKR (`exclude_low_rated` says nothing here, as no negative is drawn).

    The paper: ratings from 1 to 5, a like from 4 on (`threshold=4` of the interactions), 80 : 20 parts, 10 runs.
    """

    rating_middle: float | None = Field(
        None, description="rating that says neither yes nor no; None: half a point below the least rating of a like"
    )
    valid_share: float = Field(
        0.1, ge=0, le=0.5, description="share of the training rows that validates where no part for it is given"
    )

    @classmethod
    def suited_to(cls, size: DataSize) -> dict[str, float]:  # noqa: ARG003
        """Return nothing: what suits MKR on sparse data was measured with drawn negatives, not with dislikes."""
        return {}


class RatedData(ClickThroughData):
    """Training rows as they were rated: likes, and the other rows as negatives.

    Args:
        train, valid: rows with ratings and a threshold.
        side: as in `ClickThroughData`.
    """

    def __init__(self, train: Interactions, valid: Interactions | None, side: SideTerm | None = None) -> None:
        self.rows, self.likes, self.side = train, train.likes(), side
        self.valid = None if valid is None or not valid.is_like.any() else _labelled(valid)

    def epoch(self, rng: np.random.Generator, batch_size: int) -> Iterator[Pairs]:
        """Yield all rows in a new order, at most `batch_size` at a time."""
        order = rng.permutation(len(self.rows))
        for start in range(0, len(order), batch_size):
            yield _labelled(self.rows.take(order[start : start + batch_size]))


def _labelled(rows: Interactions) -> Pairs:
    return Pairs(rows.users, rows.items, rows.is_like.astype(np.float32))


class RatedTask(TasteTask):
    """The training of MKR-rated: a pair's user is described without the pair's own rating."""

    def left_out(self, batch: Pairs) -> tuple[np.ndarray, torch.Tensor]:
        """Return (items int64 (n,), ω(r_ui) float32 (n,)), 0 for a pair that is no training row."""
        network, rows = self.module, self.data.rows  # type: ignore[attr-defined]
        place = np.searchsorted(rows.pairs, batch.users * np.int64(rows.n_items) + batch.items)
        place = np.minimum(place, len(rows) - 1)
        known = (rows.users[place] == batch.users) & (rows.items[place] == batch.items)
        weights = network.rated_weights[torch.from_numpy(place).to(network.device)]
        return batch.items, torch.where(torch.from_numpy(known).to(network.device), weights, 0.0)


class MKRRated(MKR):
    """MKR for ratings: explicit negatives, and users described by what they rated (after Cao et al. 2021).

    A row below the threshold of a like is a negative, and no others are drawn: the score is the probability that who
    rates an item likes it. A user's input is u + Σ ω v / Σ |ω| over the rated items, ω = rating − middle, so a
    disliked item counts against; in training the target's own term is left out, else it would tell the answer.
    Without a validation part a tenth of the training rows is kept for it. Cao et al. give their weighting of features
    in prose only; this reading of it is ours. All else is MKR (Wang et al., WWW 2019, "Multi-Task Feature Learning
    for Knowledge Graph Enhanced Recommendation").
    """

    name = "MKR-rated"
    config_class = MKRRatedConfig
    config: MKRRatedConfig
    network: TasteNetwork
    network_class: ClassVar[type[MKRNetwork]] = TasteNetwork

    def _task_on(
        self, interactions: Interactions, valid: Interactions | None, triples: np.ndarray, seed: int
    ) -> MKRTask:
        threshold = interactions.threshold
        if interactions.ratings is None or threshold is None or interactions.is_like.all():
            raise DataError(
                "MKR-rated learns from ratings below the threshold of a like too, and found none; give the "
                "interactions ratings and a threshold, or use MKR."
            )
        middle = threshold - HALF_POINT if self.config.rating_middle is None else self.config.rating_middle
        train = interactions
        if valid is None and self.config.valid_share > 0:
            kept = (1 - self.config.valid_share, self.config.valid_share)
            train, valid = interactions.split(kept, seed=seed, by="row")
        assert train.ratings is not None  # nor does a part lose them
        self.network.remember(train, train.ratings - np.float32(middle))
        return RatedTask(self.network, self.config, RatedData(train, valid, self.side), triples)
