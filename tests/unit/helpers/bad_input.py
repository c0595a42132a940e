"""Feedback and graphs that are small, lopsided or empty somewhere, by a name that says how."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd

from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph

N_USERS, N_ITEMS = 6, 8
Rows = list[tuple[int | str, int | str, float]]


class Data(NamedTuple):
    """What a model is given."""

    likes: Interactions
    triples: KnowledgeGraph
    valid: Interactions | None = None


def rows() -> Rows:
    """Return users, items and ratings; each user rates five of eight items, even users like even items."""
    return [
        (user, item, 5 if user % 2 == item % 2 else 1)
        for user in range(N_USERS)
        for item in range(N_ITEMS)
        if (user + item) % 4 != 3 or item == user
    ]


def feedback(table: Rows, *, like_threshold: float | None = 4) -> Interactions:
    frame = pd.DataFrame(table, columns=["user", "item", "stars"])
    likes = Interactions.from_dataframe(frame, user="user", item="item", rating="stars", like_threshold=like_threshold)
    return likes.with_texts({key: f"title of {key}" for key in likes.item_keys})


def graph(items: list[int | str]) -> KnowledgeGraph:
    """Return a graph that gives every second item one director; directors live somewhere."""
    triples = [(item, "directed_by", f"director {number % 2}") for number, item in enumerate(items)]
    triples += [("director 0", "lives_in", "Rome"), ("director 1", "lives_in", "Oslo")]
    return KnowledgeGraph.from_dataframe(pd.DataFrame(triples, columns=["head", "relation", "tail"]))


def without_triples(items: list[int | str], *, relations: int) -> KnowledgeGraph:
    names = np.array([f"relation {number}" for number in range(relations)], dtype=object)
    keys = np.array(items, dtype=object)
    labels = np.full(len(keys), "", dtype=object)
    return KnowledgeGraph.from_arrays(keys, labels, names, np.empty((0, 3), dtype=np.int64))


def with_lonely_entities(items: list[int | str]) -> KnowledgeGraph:
    """Return the graph of the first two items; the others are entities without a triple."""
    some = graph(items[:2])
    keys = np.concatenate([some.entity_keys, np.array(items[2:], dtype=object)])
    return KnowledgeGraph.from_arrays(keys, np.full(len(keys), "", dtype=object), some.relations, some.triples)


def _renamed() -> Data:
    """Users and items under keys of all kinds, in no order, some rows twice."""
    keys = {0: 2**62 + 1, 1: -5, 2: "2", 3: "Ünïcode ☃", 4: "", 5: 7, 6: "电影", 7: "a`b\"c'd"}
    table = [(keys[int(user)], keys[int(item)], stars) for user, item, stars in rows()]
    order = np.random.default_rng(3).permutation(len(table))
    return Data(feedback([table[number] for number in [*order, *order[:9]]]), graph(list(keys.values())))


def _other_titles(titled: list[int]) -> Data:
    likes = feedback(rows())
    return Data(likes.with_texts(dict.fromkeys(titled, "a film")), graph(list(range(N_ITEMS))))


def _plain(table: Rows, *, like_threshold: float | None = 4, triples: KnowledgeGraph | None = None) -> Data:
    return Data(
        feedback(table, like_threshold=like_threshold), graph(list(range(N_ITEMS))) if triples is None else triples
    )


def _with_valid(keep: Callable[[np.ndarray], np.ndarray]) -> Data:
    """Return a split whose validation set holds those of its rows that `keep` chooses, by whether they are likes."""
    data = _plain(rows())
    train, valid = data.likes.split((0.8, 0.2), seed=0)
    return Data(train, data.triples, valid.take(keep(valid.is_like)))


ITEMS: list[int | str] = list(range(N_ITEMS))
CASES: dict[str, Callable[[], Data]] = {
    "no triple and no relation": lambda: _plain(rows(), triples=without_triples(ITEMS, relations=0)),
    "no triple of two relations": lambda: _plain(rows(), triples=without_triples(ITEMS, relations=2)),
    "no item with an entity": lambda: _plain(rows(), triples=graph(["other 1", "other 2", "other 3"])),
    "some items with an entity": lambda: _plain(rows(), triples=graph([1, 4, "other"])),
    "one item with an entity": lambda: _plain(rows(), triples=graph([3])),
    "entities without neighbours": lambda: _plain(rows(), triples=with_lonely_entities(ITEMS)),
    "a loop and a triple twice": lambda: _plain(
        rows(),
        triples=KnowledgeGraph.from_dataframe(
            pd.DataFrame([(0, "is", 0), (1, "is", 2), (1, "is", 2)], columns=["head", "relation", "tail"])
        ),
    ),
    "a user who likes everything": lambda: _plain([*rows(), *((99, item, 5) for item in range(N_ITEMS))]),
    "a user who likes nothing": lambda: _plain([*rows(), *((99, item, 1) for item in range(N_ITEMS))]),
    "all like everything": lambda: _plain([(user, item, 5) for user in range(3) for item in range(N_ITEMS)]),
    "no rating at all": lambda: _plain(rows(), like_threshold=None),
    "one user": lambda: _plain([(1, item, 5 if item % 2 else 1) for item in range(N_ITEMS - 1)]),
    "one item": lambda: _plain([(user, 3, 5) for user in range(4)]),
    "one item, liked by some": lambda: _plain([(user, 3, 5 if user % 2 else 1) for user in range(4)]),
    "one row": lambda: _plain([(1, 3, 5)]),
    "one like": lambda: _plain([(1, 3, 5), (1, 2, 1), (2, 3, 2)]),
    "keys of all kinds, rows twice": _renamed,
    "ratings below zero": lambda: _plain([(user, item, stars - 9) for user, item, stars in rows()], like_threshold=-5),
    "ratings of zero and one": lambda: _plain([(u, i, float(stars > 3)) for u, i, stars in rows()], like_threshold=1),
    "huge ratings": lambda: _plain([(u, i, stars * 1e30) for u, i, stars in rows()], like_threshold=2e30),
    "a threshold above every rating": lambda: _plain(rows(), like_threshold=6),
    "a validation set without a like": lambda: _with_valid(lambda is_like: ~is_like),
    "a validation set of likes alone": lambda: _with_valid(lambda is_like: is_like),
    "an empty validation set": lambda: _with_valid(lambda is_like: np.zeros(len(is_like), dtype=bool)),
    "no titles": lambda: _other_titles([]),
    "one title": lambda: _other_titles([2]),
}
