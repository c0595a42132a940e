"""Training pairs of click-through models (likes and negatives), the losses on them, and the validation AUC.

A negative is a random item that the user does not like, or one of the user's dislikes. Each epoch draws new negatives.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional

from kgplug.data.interactions import Interactions
from kgplug.data.ranking.auc import auc
from kgplug.data.sampling import ComplementSampler, PopularSampler, RowSampler, negative_sampler
from kgplug.recommenders.click_through.side_term import SideTerm
from kgplug.training.tensors import tensor_of

_VALIDATION_STREAM = 0x7A11D  # makes the validation negatives independent of those in training


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of a user and an item, with labels.

    Attributes:
        users, items: Indices, int64 (n,).
        labels: 1 for a like, 0 for a negative, float32 (n,).
        per_like: Number of negatives of each like.
        log_chances: log(p / q) of each pair's item, float32 (n,). p is the probability that a negative is this item,
            and q is 1 / (number of items). None if all items are equally probable.
        weights: Weight of each pair in the loss, float32 (n,). Over all training likes, the mean is 1. A negative has
            the weight of the like that it was drawn for. None if all are 1.
    """

    users: np.ndarray
    items: np.ndarray
    labels: np.ndarray
    per_like: int = 1
    log_chances: np.ndarray | None = None
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.users)

    def matched(self) -> tuple[np.ndarray, np.ndarray]:
        """Match each negative with the like that it was drawn for.

        The likes must come first, as in the batches of `ClickThroughData`. Likes of a user who likes all items have no
        negative, so they are left out.

        Returns:
            (likes, negatives): positions of m likes, and of the negative that was drawn for each, int64 (m,) each.
        """
        n = int(self.labels.sum())
        negatives, likes = np.arange(n, len(self)), np.arange(n)
        if len(negatives) < n * self.per_like:
            likes = np.flatnonzero(np.isin(self.users[:n], self.users[n:]))
        return np.tile(likes, self.per_like), negatives

    def own_likes(self) -> np.ndarray:
        """Return the liked item of each pair, int64 (n,).

        For a like, this is the pair's own item. For a negative, it is the item of the like that the negative was drawn
        for. The likes must come first, as in `matched`.
        """
        likes, negatives = self.matched()
        items = self.items.copy()
        items[negatives] = self.items[likes]
        return items


@dataclass(frozen=True, eq=False)
class Comparisons:
    """Users, each with an item that the user likes and an item that the user does not like.

    Attributes:
        users: Indices of users, int64 (n,).
        liked: For each user, an item that the user likes, int64 (n,).
        others: For each user, an item that the user does not like, int64 (n,).
        weights: Weight of each comparison in the loss, that of its like, float32 (n,). Over all training likes, the
            mean is 1. None if all are 1.
    """

    users: np.ndarray
    liked: np.ndarray
    others: np.ndarray
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.users)

    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (users, items), int64 (2n,) each: first the pairs with the liked items, then those with the others."""
        return np.tile(self.users, 2), np.concatenate([self.liked, self.others])


class ClickThroughData:
    """Training likes with negatives redrawn each epoch, and fixed validation pairs.

    A training negative may be an item that the user likes in the validation set. Validation negatives are drawn once
    from the seed, one per like, and are never items of the user's training or validation rows.

    Args:
        interactions: Training set.
        valid: Validation set, or None.
        seed: Seed of the validation negatives.
        exclude_low_rated: Whether items that the user rated low in the training set are never drawn as training
            negatives.
        dislike_share: Fraction of the training negatives that are items that the user rated low, instead of drawn ones.
        side: Side term (a score from counts of likes and shared knowledge-graph features), which is trained with the
            model and added to every logit; or None.
        per_like: Number of training negatives per like.
        popularity: Exponent. An item is drawn as a training negative with a probability proportional to
            (1 + number of its likes) ** popularity.
    """

    def __init__(
        self,
        interactions: Interactions,
        valid: Interactions | None,
        *,
        seed: int,
        exclude_low_rated: bool = False,
        dislike_share: float = 0.0,
        side: SideTerm | None = None,
        per_like: int = 1,
        popularity: float = 0.0,
    ) -> None:
        self.likes, self.side, self._per_like = interactions.likes(), side, per_like
        self._weights = self.likes.confidence
        self._sampler: ComplementSampler | PopularSampler
        self._sampler = uniform = negative_sampler(interactions if exclude_low_rated else self.likes)
        self._dislike_share, self._dislikes = dislike_share, None
        if dislike_share:
            self._dislikes = RowSampler(interactions.take(~interactions.is_like))
        self._log_chances: np.ndarray | None = None
        if popularity:
            weights = (1.0 + np.bincount(self.likes.items, minlength=self.likes.n_items)) ** popularity
            self._sampler = PopularSampler(uniform, weights)
            self._log_chances = np.log(weights / weights.mean()).astype(np.float32)
        self.valid: Pairs | None = None
        if valid is not None and valid.is_like.any():
            likes = valid.likes()
            rng = np.random.default_rng([seed, _VALIDATION_STREAM])
            self.valid = _with_negatives(
                likes.users, likes.items, negative_sampler(interactions, valid).draw(likes.users, rng)[None]
            )

    def drawn(self, rng: np.random.Generator, rows: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return likes in random order, and new negatives for the user of each like.

        Args:
            rng: Random generator.
            rows: Indices of likes, int64; None for all.

        Returns:
            (likes, negatives): indices of likes, int64 (n,); and items, int64 (number of negatives per like, n). A
            negative is -1 if the user likes all items.
        """
        order = rng.permutation(len(self.likes) if rows is None else rows)
        users = np.tile(self.likes.users[order], self._per_like)
        negatives = self._sampler.draw(users, rng)
        if self._dislikes is not None:
            known = self._dislikes.draw(users, rng)
            negatives = np.where((known >= 0) & (rng.random(len(users)) < self._dislike_share), known, negatives)
        return order, negatives.reshape(self._per_like, -1)

    def epoch(self, rng: np.random.Generator, batch_size: int, *, rows: np.ndarray | None = None) -> Iterator[Pairs]:
        """Yield batches of at most `batch_size` / 2 likes, each with their negatives.

        Args:
            rng: Random generator.
            batch_size: Twice the maximum number of likes, because a like and its negative count as two pairs.
            rows: Indices of the likes to use, int64; None for all.
        """
        likes, negatives = self.drawn(rng, rows)
        step = max(1, batch_size // 2)
        for start in range(0, len(likes), step):
            chosen = slice(start, start + step)
            some = likes[chosen]
            pairs = _with_negatives(
                self.likes.users[some], self.likes.items[some], negatives[:, chosen], self._weights_of(some)
            )
            yield pairs if self._log_chances is None else replace(pairs, log_chances=self._log_chances[pairs.items])

    def comparisons(self, rng: np.random.Generator, batch_size: int) -> Iterator[Comparisons]:
        """Yield batches of the likes, each like with a new negative for its user.

        Likes of a user who likes all items have no negative, so they are left out.

        Args:
            rng: Random generator.
            batch_size: Maximum number of pairs, likes and negatives together.
        """
        likes, (negatives,) = self.drawn(rng)
        likes, negatives = likes[negatives >= 0], negatives[negatives >= 0]
        step = max(1, batch_size // 2)
        for start in range(0, len(likes), step):
            chosen = slice(start, start + step)
            some = likes[chosen]
            yield Comparisons(self.likes.users[some], self.likes.items[some], negatives[chosen], self._weights_of(some))

    def _weights_of(self, likes: np.ndarray) -> np.ndarray | None:
        """Return the weights of likes, given their indices: int64 (n,) → float32 (n,); None if all are 1."""
        return None if self._weights is None else self._weights[likes]

    def comparison_loss(self, logits: torch.Tensor, batch: Comparisons) -> torch.Tensor:
        """Return the BPR loss, a scalar: the mean of −w log σ(s_ui − s_uj) over comparisons.

        w is the like's weight, u the user, i the liked item, and j the other item. If there is a side term (a score
        from counts of likes and shared knowledge-graph features), it is added to the model's logits; the sums are the
        scores s.

        Args:
            logits: The model's own logits of `batch.pairs()`, (2n,).
            batch: The comparisons.
        """
        liked, others = self.with_side(logits, *batch.pairs(), np.tile(batch.liked, 2)).chunk(2)
        losses = functional.softplus(others - liked)
        return losses.mean() if batch.weights is None else (tensor_of(batch.weights).to(losses.device) * losses).mean()

    def with_side(self, logits: torch.Tensor, users: np.ndarray, items: np.ndarray, hidden: np.ndarray) -> torch.Tensor:
        """Return the logits of training pairs plus the side term, if there is one.

        The side term is a score from counts of likes and shared knowledge-graph features.

        Args:
            logits: The model's own logits of the pairs, (n,).
            users, items: Indices, int64 (n,).
            hidden: The like that the side term's counts leave out for each pair, int64 (n,).

        Returns:
            (n,).
        """
        return logits if self.side is None else logits + self.side.of_training(users, items, hidden)

    def hidden_likes(self, pairs: Pairs) -> np.ndarray:
        """Return the like that the side term's counts leave out for each pair, int64 (n,); -1 for none."""
        return pairs.own_likes()

    def log_loss(self, own: torch.Tensor, pairs: Pairs, *, own_weight: float = 0.0) -> torch.Tensor:
        """Return the mean log loss of training pairs, a scalar.

        If there is a side term (a score from counts of likes and shared knowledge-graph features), it is added to the
        model's logits first. All negatives of a like together have the same weight as the like, and both are multiplied
        by the like's weight (`Pairs.weights`).

        If popular items are drawn more often as negatives, the loss is corrected for this with `Pairs.log_chances`
        (noise-contrastive estimation, M. Gutmann, A. Hyvärinen, AISTATS 2010).

        Args:
            own: The model's own logits, without the side term, (n,).
            pairs: Likes and negatives.
            own_weight: Weight w of a second log loss, that of `own` alone. The result is then (first loss + w · second
                loss) / (1 + w). Without a side term, w has no effect.
        """
        if self.side is None:
            return _log_loss(own, pairs)
        loss = _log_loss(self.with_side(own, pairs.users, pairs.items, self.hidden_likes(pairs)), pairs)
        if not own_weight:
            return loss
        return (loss + own_weight * _log_loss(own, pairs)) / (1 + own_weight)

    def validation_auc(self, logits: np.ndarray) -> float | None:
        """Return the AUC of the validation pairs; None if they contain no like or no negative.

        Args:
            logits: The model's own logits of the validation pairs, float (n,). If there is a side term (a score from
                counts of likes and shared knowledge-graph features), it is added to them.
        """
        if self.valid is None or self.valid.labels.all():
            return None
        scores = logits if self.side is None else logits + self.side.logits(self.valid.users, self.valid.items)
        return auc(self.valid.labels > 0, scores)


def _with_negatives(
    users: np.ndarray, items: np.ndarray, negatives: np.ndarray, weights: np.ndarray | None = None
) -> Pairs:
    """Return pairs: first the likes, then their negatives.

    Args:
        users, items: The likes, int64 (n,).
        negatives: Items, int64 (number of negatives per like, n). A value of -1 means that there is no negative.
        weights: Weights of the likes, float32 (n,); None if all are 1.
    """
    per_like, drawn = len(negatives), negatives.ravel() >= 0
    labels = np.zeros(len(users) + int(drawn.sum()), dtype=np.float32)
    labels[: len(users)] = 1.0
    return Pairs(
        np.concatenate([users, np.tile(users, per_like)[drawn]]),
        np.concatenate([items, negatives.ravel()[drawn]]),
        labels,
        per_like,
        weights=None if weights is None else np.concatenate([weights, np.tile(weights, per_like)[drawn]]),
    )


def _log_loss(logits: torch.Tensor, pairs: Pairs) -> torch.Tensor:
    """Return the mean log loss of pairs, a scalar, where each loss is multiplied by the pair's weight.

    With k negatives per like, a negative counts 1 / k.
    """
    labels = tensor_of(pairs.labels).to(logits.device)
    if pairs.log_chances is not None:
        logits = logits - tensor_of(pairs.log_chances).to(logits.device)
    if pairs.per_like == 1 and pairs.weights is None:
        return functional.binary_cross_entropy_with_logits(logits, labels)
    losses = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    shares = torch.where(labels > 0, 1.0, 1.0 / pairs.per_like)
    weights = shares if pairs.weights is None else shares * tensor_of(pairs.weights).to(logits.device)
    return (weights * losses).sum() / shares.sum()


def own_rows(linked: np.ndarray, n_entities: int) -> tuple[int, np.ndarray]:
    """Assign a row of the entity table to each item.

    Items that are not entities of the graph get new rows after those of the entities.

    Args:
        linked: Entity index of each item, int64 (n_items,), -1 for items that are not entities.
        n_entities: Number of entities in the graph.

    Returns:
        (number of rows, row of each item, int64 (n_items,)).
    """
    missing = linked < 0
    rows = linked.copy()
    rows[missing] = n_entities + np.arange(missing.sum())
    return n_entities + int(missing.sum()), rows
