"""Inputs of the side term, a score of a user-item pair that is added to the model's own score.

The inputs are the numbers of likes of the user and of the item, and the similarity of the item to the user's likes. The
similarity compares features in the knowledge graph (KG features), such as (directed by, Hitchcock). During training,
the like to predict is removed from the inputs, so that they do not leak the label.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph

COSINE_SCALE = 10.0  # log1p(10 · cosine): most cosines are near zero
_PAIRS = 200_000  # pairs whose sparse rows are in memory at a time
_KEPT_CELLS = 32_000_000  # maximum number of user × item products to keep: 128 MB


@dataclass(frozen=True, eq=False)
class PairFacts:
    """Features of n user-item pairs, float32. They are computed from likes and from knowledge-graph (KG) features.

    A KG feature of an item is a (relation, entity) pair, such as (directed by, Hitchcock). If the user likes the item
    of a pair, `profile` leaves out this like. In training, the counts in `users` and in column 0 of `items` also leave
    out the like to predict.

    Attributes:
        users: log1p of the user's number of likes, (n, 1).
        items: Three columns, (n, 3). Column 0 is log1p of the item's number of likes. Column 1 is log1p of the number
            of likes of other items that share KG features with this item; a like counts once per shared feature.
            Column 2 is 1 if the number in column 0 is zero, otherwise 0.
        profile: log1p(10 · cosine of the item's KG features with those of the user's likes), (n,).
    """

    users: np.ndarray
    items: np.ndarray
    profile: np.ndarray


class SideFeatures:
    """Computes features of user-item pairs: numbers of likes, and the similarity of the item to the user's likes.

    The similarity compares KG features. A KG feature is a (relation, entity) pair that at least two items have in the
    knowledge graph, such as (directed by, Hitchcock). Rare features have a higher weight (inverse document frequency).

    Args:
        likes: Training likes, binary CSR float32 (n_users, n_items).
        features: KG features of items from `kg_features`, CSR float32 (n_items, n_features).
    """

    def __init__(self, likes: sparse.csr_matrix, features: sparse.csr_matrix) -> None:
        self.likes, self.features = likes, features
        self.profiles = sparse.csr_matrix(self.likes @ self.features)  # (n_users, n_features)
        self.item_degrees = np.asarray(self.likes.sum(axis=0)).ravel()
        self.user_degrees = np.asarray(self.likes.sum(axis=1)).ravel()
        shared = sparse.csr_matrix(self.features.astype(bool), dtype=np.float32)
        own = np.asarray(shared.sum(axis=1)).ravel() * self.item_degrees
        self.neighbour_degrees = shared @ (shared.T @ self.item_degrees) - own  # (n_items,)
        self._item_squares = np.asarray(self.features.multiply(self.features).sum(axis=1)).ravel()
        self._user_squares = np.asarray(self.profiles.multiply(self.profiles).sum(axis=1)).ravel()
        n_users, n_items = likes.get_shape()
        self._products = self._similar = None  # profile · features of each user and item; features of two items
        if n_users * n_items <= _KEPT_CELLS:
            self._products = (self.profiles @ self.features.T).toarray()
        if n_items * n_items <= _KEPT_CELLS:
            self._similar = (self.features @ self.features.T).toarray()

    def of_pairs(self, users: np.ndarray, items: np.ndarray, *, hidden: np.ndarray | None = None) -> PairFacts:
        """Return the features of pairs.

        Args:
            users, items: Indices, int64 (n,).
            hidden: In training, a liked item of each pair's user, int64 (n,); -1 for none. It is left out of the
                profile, and one like is subtracted from the user's count. For a like, it is the pair's own item; for a
                negative, the like that it was drawn for. Otherwise likes and negatives would differ in the number of
                likes that are counted, which would leak the label. If None (prediction), only a pair's own like is
                left out of the profile.
        """
        liked = np.zeros(len(users), dtype=np.float32)  # 1 where the pair is a training like
        if len(users):  # scipy returns another type for no pair
            liked = np.asarray(self.likes[users, items]).ravel()
        training = hidden is not None
        fewer = np.minimum(self.user_degrees[users], 1) if training else 0
        user = np.log1p(self.user_degrees[users] - fewer)[:, None]
        item = _item_facts(self.item_degrees[items] - (liked if training else 0), self.neighbour_degrees[items])
        hidden = np.where(liked > 0, items, -1) if hidden is None else hidden
        products, squares = self._pair_products(users, items), self._user_squares[users]
        some = np.flatnonzero(hidden >= 0)
        out = hidden[some]
        products[some] -= _dots(self._similar, self.features, self.features, items[some], out)
        squares[some] -= 2 * self._pair_products(users[some], out) - self._item_squares[out]
        return PairFacts(user.astype(np.float32), item, _scaled_cosine(products, squares, self._item_squares[items]))

    def _pair_products(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        return _dots(self._products, self.profiles, self.features, users, items)

    def of_items(self) -> np.ndarray:
        """Return `PairFacts.items` of each item for users who have not liked it: (n_items, 3)."""
        return _item_facts(self.item_degrees, self.neighbour_degrees)

    def of_likes(self, likes: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
        """Return the features of b users with every item. The users are given by their likes.

        Args:
            likes: Likes of each user, CSR float32 (b, n_items), binary.

        Returns:
            (users, profile), as in `PairFacts`: float32 (b, 1) and (b, n_items). If a user likes an item, this like is
            left out of their `profile`, but counted in `users`.
        """
        profiles = sparse.csr_matrix(likes @ self.features)  # (b, n_features)
        products = (profiles @ self.features.T).toarray()  # (b, n_items)
        row, column = np.repeat(np.arange(len(products)), np.diff(likes.indptr)), likes.indices
        own = np.asarray(profiles.multiply(profiles).sum(axis=1))  # (b, 1)
        squares = np.repeat(own, products.shape[1], axis=1)
        squares[row, column] -= 2 * products[row, column] - self._item_squares[column]
        products[row, column] -= self._item_squares[column]
        degrees = np.log1p(np.diff(likes.indptr))[:, None].astype(np.float32)
        return degrees, _scaled_cosine(products, squares, self._item_squares)


def _dots(
    kept: np.ndarray | None, left: sparse.csr_matrix, right: sparse.csr_matrix, rows: np.ndarray, others: np.ndarray
) -> np.ndarray:
    """Return the dot products of rows of `left` with rows of `right`, pair by pair: a new array, float32 (n,).

    `kept` holds the products of all rows, if they are in memory.
    """
    if kept is not None:
        return kept[rows, others]
    products = np.empty(len(rows), dtype=np.float32)
    for start in range(0, len(rows), _PAIRS):
        chosen = slice(start, start + _PAIRS)
        products[chosen] = np.asarray(left[rows[chosen]].multiply(right[others[chosen]]).sum(axis=1)).ravel()
    return products


def _item_facts(degrees: np.ndarray, neighbour_degrees: np.ndarray) -> np.ndarray:
    return np.stack([np.log1p(degrees), np.log1p(neighbour_degrees), degrees == 0], axis=1).astype(np.float32)


def _scaled_cosine(products: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    norms = np.sqrt(np.maximum(left, 0) * right)
    cosine = np.divide(products, norms, out=np.zeros_like(products), where=norms > 1e-6)
    return np.log1p(COSINE_SCALE * np.clip(cosine, 0, 1)).astype(np.float32)


def kg_features(likes: Interactions, knowledge: KnowledgeGraph | None) -> sparse.csr_matrix:
    """Return the weights of each item's features in the knowledge graph, CSR float32 (n_items, n_features).

    A feature is a (relation, entity) pair that at least two items have, such as (directed by, Hitchcock). Its weight is
    log(N / n) + 0.01, where N is the number of items that are entities, and n is the number of items with the feature.
    If there are no features, the matrix has a single zero column.
    """
    none = sparse.csr_matrix(np.zeros((likes.n_items, 1), dtype=np.float32))
    if knowledge is None:
        return none
    linked = knowledge.entities_of(likes.item_keys, label=likes.item_label)
    item_of = np.full(knowledge.n_entities, -1, dtype=np.int64)
    item_of[linked[linked >= 0]] = np.flatnonzero(linked >= 0)
    head, relation, tail = knowledge.triples.T
    item = np.concatenate([item_of[head], item_of[tail]])
    # A relation counts as two different ones: with the item as the head of the triple, and with the item as the tail.
    code = np.concatenate(
        [relation * knowledge.n_entities + tail, (relation + knowledge.n_relations) * knowledge.n_entities + head]
    )
    item, code = item[item >= 0], code[item >= 0]
    names, column = np.unique(code, return_inverse=True)
    counts = np.bincount(column)
    shared = np.flatnonzero(counts >= 2)
    if len(shared) == 0:
        return none
    place = np.full(len(names), -1, dtype=np.int64)
    place[shared] = np.arange(len(shared))
    kept = place[column] >= 0
    idf = np.log((linked >= 0).sum() / counts[shared]) + 1e-2
    columns = place[column[kept]]
    values = idf[columns].astype(np.float32)
    return sparse.csr_matrix((values, (item[kept], columns)), shape=(likes.n_items, len(shared)), dtype=np.float32)
