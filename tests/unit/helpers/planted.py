"""Small data whose right answer is known: users who each like the films of one director."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph

DIRECTORS, FILMS_EACH, USERS_EACH, LIKES_EACH = 20, 10, 2, 4


def directors_and_fans(
    seed: int = 0, *, fans: int = USERS_EACH
) -> tuple[Interactions, KnowledgeGraph, np.ndarray, np.ndarray]:
    """Return (training likes, graph, director of each film (n_items,), director of each user (n_users,)).

    A fan likes 4 of the director's 10 films, so feedback alone says little of the other 6. With 2 fans a director,
    a third of the films is liked by nobody; with 6 fans, one in twenty. Film f is item and entity f; its director is
    entity "d…"; its year, an entity "y…", means nothing.
    """
    rng = np.random.default_rng(seed)
    film_director = np.repeat(np.arange(DIRECTORS), FILMS_EACH)
    fan_of = np.repeat(np.arange(DIRECTORS), fans)
    likes = [
        {"user": user, "item": film}
        for user, director in enumerate(fan_of)
        for film in rng.choice(np.flatnonzero(film_director == director), LIKES_EACH, replace=False)
    ]
    films = np.arange(len(film_director))
    frame = pd.DataFrame(likes)
    interactions = Interactions.from_arrays(
        np.arange(len(fan_of)).astype(object), films.astype(object), frame["user"].to_numpy(), frame["item"].to_numpy()
    )
    triples = pd.DataFrame(
        {
            "head": np.tile(films, 2).astype(object),
            "relation": np.repeat(["DIRECTED_BY", "FROM_YEAR"], len(films)),
            "tail": [f"d{d}" for d in film_director] + [f"y{y}" for y in rng.integers(0, 10, len(films))],
        }
    )
    return interactions, KnowledgeGraph.from_dataframe(triples), film_director, fan_of


def shuffled(knowledge: KnowledgeGraph, seed: int = 0) -> KnowledgeGraph:
    """Return the graph with tails dealt anew within each relation: as many edges, no meaning."""
    rng = np.random.default_rng(seed)
    triples = knowledge.triples.copy()
    for relation in range(knowledge.n_relations):
        rows = np.flatnonzero(triples[:, 1] == relation)
        triples[rows, 2] = triples[rng.permutation(rows), 2]
    return replace(knowledge, triples=triples)


def unseen_share(model, film_director: np.ndarray, fan_of: np.ndarray) -> float:
    """Return the mean share of a fan's first 6 unseen recommendations that are the director's (6 are left)."""
    items, _ = model.recommend(np.arange(len(fan_of)), k=FILMS_EACH - LIKES_EACH)
    return float((film_director[items] == fan_of[:, None]).mean())


def tiny() -> tuple[Interactions, KnowledgeGraph]:
    """Return 4 users, 5 items and a graph of 4 entities of the items and 3 others; item 4 has no entity.

    Entity "lonely" is only in a loop-free corner: it has one neighbour; item 3's entity has no triple at all
    but one where it is the tail.
    """
    likes = pd.DataFrame(
        {"user": [0, 0, 1, 1, 2, 3, 3, 3], "item": [0, 1, 1, 2, 3, 4, 0, 2], "rating": [5, 4, 5, 2, 4, 5, 4, 1]}
    )
    interactions = Interactions.from_dataframe(likes, user="user", item="item", rating="rating", like_threshold=4)
    triples = pd.DataFrame(
        [(0, "by", "a"), (1, "by", "a"), (1, "in", "b"), (2, "in", "b"), ("c", "made", 3), ("a", "knows", "b")],
        columns=["head", "relation", "tail"],
    )
    return interactions, KnowledgeGraph.from_dataframe(triples)


def two_tastes(seed: int = 0, n_users: int = 40, n_items: int = 60) -> Interactions:
    """Feedback in two tastes: everybody likes items of one half and has rated some of the other low."""
    rng = np.random.default_rng(seed)
    chance = np.where(np.arange(n_users)[:, None] % 2 == np.arange(n_items)[None, :] % 2, 0.4, 0.05)
    users, items = np.nonzero(rng.random((n_users, n_items)) < chance)
    ratings = np.where(users % 2 == items % 2, rng.choice([3, 4, 5], len(users)), 1).astype(float)
    return Interactions.from_arrays(
        np.array([f"u{user}" for user in range(n_users)], dtype=object), np.arange(n_items), users, items,
        ratings=ratings, like_threshold=4,
    )  # fmt: skip


def popular(seed: int, *, n_users: int = 300, n_items: int = 120, likes: int = 8) -> Interactions:
    """Likes of few items per user: half of them by taste (one of four), half of them by popularity alone."""
    rng = np.random.default_rng(seed)
    weights = 1.0 / np.arange(1, n_items + 1)
    rows = []
    for user in range(n_users):
        own = np.arange(n_items) % 4 == user % 4
        for mask in (own, np.ones(n_items, dtype=bool)):
            chances = weights * mask / (weights * mask).sum()
            rows += [(user, item) for item in rng.choice(n_items, likes // 2, replace=False, p=chances)]
    frame = pd.DataFrame(rows, columns=["user", "item"]).drop_duplicates()
    return Interactions.from_dataframe(frame, user="user", item="item")


def fans_with_noise(seed: int = 0) -> tuple[Interactions, KnowledgeGraph, np.ndarray, np.ndarray]:
    """Return what `directors_and_fans` returns, but half of the likes are noise: films of other directors.

    The weight of these likes is .05, that of the others 1. The graph means nothing, because its tails are shuffled.
    """
    true, knowledge, film_director, fan_of = directors_and_fans(seed, fans=6)
    rng = np.random.default_rng(seed)
    others = [rng.choice(np.flatnonzero(film_director != director), LIKES_EACH, replace=False) for director in fan_of]
    users = np.repeat(np.arange(len(fan_of)), LIKES_EACH)
    interactions = Interactions.from_arrays(
        true.user_keys, true.item_keys, np.concatenate([true.users, users]),
        np.concatenate([true.items, *others]), weights=np.repeat([1.0, 0.05], len(users)),
    )  # fmt: skip
    return interactions, shuffled(knowledge, seed), film_director, fan_of
