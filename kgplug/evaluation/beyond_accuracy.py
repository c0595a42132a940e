"""What a model's lists are like apart from being right: how much of the catalogue, how new, how mixed, how popular.

For lists whose first K places are looked at, item i having n_i likes in the training part of n_users users:

    coverage@K    share of the catalogue that stands in at least one list
    novelty@K     mean self-information of the listed items, log2(n_users / n_i), in bits; an item without a like
                  counts as one with a single like (Zhou et al., "Solving the apparent diversity-accuracy dilemma of
                  recommender systems", PNAS 2010)
    diversity@K   mean of 1 - cos(i, j) over the pairs of a list, i and j being the rows of a matrix of features: by
                  default who liked the item in training (intra-list similarity of Ziegler et al., "Improving
                  Recommendation Lists Through Topic Diversification", WWW 2005, as a distance); lists of one item
                  do not count
    popularity@K  mean n_i of the listed items (average recommendation popularity: Yin et al., "Challenging the Long
                  Tail Recommendation", VLDB 2012)
    Gini@K        how unequally often items are listed: 0, all equally; 1, all lists hold the same (Shani &
                  Gunawardana, "Evaluating Recommendation Systems", Recommender Systems Handbook 2011, section 8.3.6)

These are means over lists but for coverage and Gini, which are of all lists together. Accuracy by groups: cold items
and users have fewer than five (`cold`) likes in training, the others are hot. AUC is that of the pairs of the group's
items or users; recall@K and NDCG@K are those of `kgplug.evaluation.ranking`, over the group's users, or counting only
the group's items as relevant. A group without any such pair or row has no figure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
from scipy import sparse

from kgplug.data.interactions import Interactions
from kgplug.errors import UsageError
from kgplug.evaluation.ctr import LabelledPairs, auc
from kgplug.evaluation.ranking import check_lengths, list_blocks, measure_lists, relevant_rows
from kgplug.recommenders.base import Recommender

COLD = 5  # likes in training from which on a user or item is hot
_BLOCK_CELLS = 16_000_000  # numbers in the summed features of lists held at a time
_RECALL, _NDCG = 1, 3  # places in what `measure_lists` returns
Features = np.ndarray | sparse.csr_matrix


def novelty(items: np.ndarray, likes: np.ndarray, n_users: int) -> np.ndarray:
    """Return the mean self-information of each list, in bits: float64 (n,), NaN of an empty one.

    Args:
        items: int64 (n, K), -1 past a list's end.
        likes: int64 (n_items,), in training.
        n_users: of the training part.
    """
    return _means(items, np.log2(n_users / np.maximum(likes, 1)))


def mean_popularity(items: np.ndarray, likes: np.ndarray) -> np.ndarray:
    """Return the mean number of training likes of each list's items: float64 (n,), NaN of an empty list."""
    return _means(items, likes.astype(np.float64))


def _means(items: np.ndarray, values: np.ndarray) -> np.ndarray:
    listed = items >= 0
    sums = np.where(listed, values[items], 0.0).sum(axis=1)
    n = listed.sum(axis=1)
    return np.where(n > 0, sums / np.maximum(n, 1), np.nan)


def intra_list_diversity(items: np.ndarray, features: Features) -> np.ndarray:
    """Return the mean of 1 - cosine over the pairs of each list: float64 (n,), NaN of less than two items.

    No pair is formed: of unit vectors, the cosines of all pairs sum to the squared length of their sum, less theirs.

    Args:
        items: int64 (n, K), -1 past a list's end.
        features: float (n_items, f), dense or CSR; an item without features is like no other.
    """
    unit = _unit(features)
    has = _squared(unit)  # (n_items,), 1, or 0 without features
    diversity = np.full(len(items), np.nan)
    n_features = unit.get_shape()[1]
    rows = max(1, _BLOCK_CELLS // max(1, n_features))
    for start in range(0, len(items), rows):
        block = items[start : start + rows]
        listed = block >= 0
        n = listed.sum(axis=1)
        places = (np.repeat(np.arange(len(block)), n), block[listed])
        chosen = sparse.csr_matrix((np.ones(len(places[0])), places), shape=(len(block), len(has)))
        cosines = _squared(sparse.csr_matrix(chosen @ unit)) - chosen @ has  # (b,), of ordered pairs
        several = n > 1
        diversity[start : start + rows][several] = 1 - (cosines[several] / (n * (n - 1))[several])
    return diversity


def _unit(features: Features) -> sparse.csr_matrix:
    matrix = sparse.csr_matrix(features, dtype=np.float64)
    norms = np.sqrt(_squared(matrix))
    inverse = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
    return sparse.csr_matrix(sparse.diags(inverse) @ matrix)


def _squared(rows: sparse.csr_matrix) -> np.ndarray:
    """Return the squared length of each row, float64 (n,)."""
    return np.asarray(rows.multiply(rows).sum(axis=1)).ravel()


def gini(counts: np.ndarray) -> float:
    """Return the Gini index of how often items were listed: 0, equally often; 1, all the same one. NaN if never.

    Args:
        counts: (n_items,), at least two of them.
    """
    n, total = len(counts), float(counts.sum())
    if n < 2 or total == 0:
        return float("nan")
    ascending = np.sort(counts).astype(np.float64)
    return float(((2 * np.arange(1, n + 1) - n - 1) * ascending).sum() / total / (n - 1))


def evaluate_beyond(
    model: Recommender,
    train: Interactions,
    test: Interactions,
    *,
    valid: Interactions | None = None,
    k: int | Iterable[int] = (10, 20),
    relevant: Literal["likes", "all"] = "likes",
    cold: int = COLD,
    features: Features | None = None,
    pairs: LabelledPairs | None = None,
    scores: np.ndarray | None = None,
) -> dict[str, float]:
    """Measure the lists of every user that has a relevant test row, beyond their accuracy and by groups.

    Args:
        model, train, test, valid, k, relevant: as in `evaluate_ranking`.
        cold: users and items of fewer training likes are cold.
        features: (n_items, f), by which items are alike; who liked them in training, if not given.
        pairs, scores: labelled pairs and the model's scores of them, float32 (n,), for AUC by groups.

    Returns:
        The figures of this module by name: "novelty@10", "AUC cold items", "NDCG@10 hot users" and so on, and how
        many there are of "cold items" (in the catalogue) and "cold users" (measured).

    Raises:
        UsageError: an argument is wrong.
        DataError: no test row is relevant.
    """
    if isinstance(cold, bool) or not isinstance(cold, (int, np.integer)) or cold < 1:
        raise UsageError(f"cold: expected the training likes from which on one is hot, such as 5; found {cold!r}.")
    lengths = check_lengths(k)
    right = relevant_rows(test, relevant)
    blocks = list(list_blocks(model, right, train, valid, lengths[-1]))
    users, items = (np.concatenate(part) for part in zip(*blocks, strict=True))  # (n,), (n, width)
    liked = train.likes()
    item_likes = np.bincount(liked.items, minlength=train.n_items)
    cold_item, cold_user = item_likes < cold, np.bincount(liked.users, minlength=train.n_users) < cold
    alike_by = liked.matrix().T.tocsr() if features is None else features  # (n_items, n_users or f)
    figures: dict[str, float] = {}
    for length in lengths:
        lists = items[:, :length]
        counts = np.bincount(lists[lists >= 0], minlength=train.n_items)
        figures[f"coverage@{length}"] = float((counts > 0).mean())
        figures[f"novelty@{length}"] = _mean(novelty(lists, item_likes, train.n_users))
        figures[f"diversity@{length}"] = _mean(intra_list_diversity(lists, alike_by))
        figures[f"popularity@{length}"] = _mean(mean_popularity(lists, item_likes))
        figures[f"Gini@{length}"] = gini(counts)
    everybody, everything = np.ones(train.n_users, dtype=bool), np.ones(train.n_items, dtype=bool)
    groups = {"hot users": (~cold_user, everything), "cold users": (cold_user, everything)}
    groups |= {"hot items": (everybody, ~cold_item), "cold items": (everybody, cold_item)}
    for group, (of_users, of_items) in groups.items():
        if pairs is not None and scores is not None:
            member = of_users[pairs.users] & of_items[pairs.items]
            figures[f"AUC {group}"] = auc(pairs.labels[member], scores[member])
        figures |= _accuracy(group, items, right, users, lengths, of_users, of_items)
    return figures | {"cold users": int(cold_user[users].sum()), "cold items": int(cold_item.sum())}


def _accuracy(
    group: str,
    items: np.ndarray,
    right: Interactions,
    users: np.ndarray,
    lengths: tuple[int, ...],
    of_users: np.ndarray,
    of_items: np.ndarray,
) -> dict[str, float]:
    """Return recall and NDCG of the lists of some users, or with some items counting as relevant."""
    rows = right.take(of_items[right.items])
    wanted = of_users[users] & (np.bincount(rows.users, minlength=right.n_users)[users] > 0)
    names = [f"{name}@{length} {group}" for length in lengths for name in ("recall", "NDCG")]
    if not wanted.any():
        return dict.fromkeys(names, float("nan"))
    measured = measure_lists(items[wanted], rows, users[wanted], lengths).mean(axis=2)  # (len(k), 6)
    return dict(zip(names, measured[:, [_RECALL, _NDCG]].ravel().tolist(), strict=True))


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
