"""Triples sampled around each user's likes, for each propagation step: RippleNet's memories and CKAN's triple sets."""

from __future__ import annotations

import numpy as np

from kgplug.data.values.keys import distinct


def both_ways(triples: np.ndarray, n_relations: int) -> np.ndarray:
    """Return the triples, followed by all triples reversed: int64 (n, 3) → (2n, 3).

    A reversed triple has the relation r + n_relations instead of r.
    """
    head, relation, tail = triples.T
    return np.concatenate([triples, np.stack([tail, relation + n_relations, head], axis=1)])


def sample_memories(
    users: np.ndarray,
    entities: np.ndarray,
    triples: np.ndarray,
    *,
    n_users: int,
    n_layers: int,
    size: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Sample the ripple sets (memories) of all users (RippleNet, eqs. 1 and 2).

    The candidates of step 1 are the triples whose head is one of the user's entities. The candidates of step k are the
    triples whose head is the tail of a triple sampled in step k − 1. For each user, the candidates are split into
    `size` equal ranges, and one triple is drawn from each range. So a triple is repeated only if there are fewer than
    `size` candidates. If there are none, step k has the same triples as step k − 1.

    Args:
        users, entities: Users, and an entity of each, such as a liked item, int64 (m,). Pairs may be repeated.
        triples: Head, relation and tail, int64 (n, 3), sorted by head.
        n_users: Number of users.
        n_layers: Number of steps.
        size: Number of triples per user and step.
        rng: Random generator.

    Returns:
        Row in `triples` of each sampled triple, int32 (n_users, n_layers, size). All are -1 for a user whose
        entities have no triples.
    """
    n_entities = 1 + max(int(entities.max(initial=0)), int(triples[:, [0, 2]].max(initial=0)))
    degrees = np.bincount(triples[:, 0], minlength=n_entities)
    starts = np.cumsum(degrees) - degrees
    memories = np.full((n_users, n_layers, size), -1, dtype=np.int32)
    seeds = distinct(users * np.int64(n_entities) + entities)  # user · n_entities + entity
    for hop in range(n_layers):
        counts = np.bincount(seeds // n_entities, minlength=n_users)
        drawn = _draw(counts, seeds % n_entities, starts, degrees, size, rng)
        memories[:, hop] = np.where(drawn >= 0, drawn, memories[:, hop - 1] if hop else -1)
        users, places = np.nonzero(memories[:, hop] >= 0)
        seeds = distinct(users * np.int64(n_entities) + triples[memories[users, hop, places], 2])
    return memories


def sample_members(
    groups: np.ndarray, members: np.ndarray, *, n_groups: int, size: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw `size` members of each group, such as items that a user likes.

    A group's members are split into `size` equal ranges, and one is drawn from each. So a member is repeated only if
    there are fewer than `size`.

    Args:
        groups, members: Group of each member, and the member, int64 (n,).
        n_groups: Number of groups.
        size: Number of members to draw.
        rng: Random generator.

    Returns:
        int64 (n_groups, size); -1 for a group without members.
    """
    ordered = members[np.argsort(groups, kind="stable")]
    counts, each = np.bincount(groups, minlength=n_groups), np.arange(len(members))
    drawn = _draw(counts, each, each, np.ones_like(each), size, rng)
    return np.where(drawn >= 0, ordered[drawn], -1) if len(ordered) else drawn


def _draw(
    counts: np.ndarray,
    seeds: np.ndarray,
    starts: np.ndarray,
    degrees: np.ndarray,
    size: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw `size` triples per user. The head of each triple is one of the user's seeds, the entities to start from.

    Args:
        counts: Number of seeds per user, int64 (n_users,).
        seeds: Seeds of all users, sorted by user, int64 (sum of `counts`,).
        starts: Row of the first triple with each entity as head, int64 (n_entities,).
        degrees: Number of triples with each entity as head, int64 (n_entities,).
        size: Number of triples per user.
        rng: Random generator.

    Returns:
        Row of each drawn triple among all triples, int64 (n_users, size). All are -1 for a user whose seeds are the
        head of no triple.
    """
    if len(seeds) == 0:
        return np.full((len(counts), size), -1)
    ends = np.cumsum(degrees[seeds])  # cumulative number of candidates, over all users
    upto = np.concatenate([[0], ends])[np.concatenate([[0], np.cumsum(counts)])]
    first, total = upto[:-1, None], np.diff(upto)[:, None]  # (n_users, 1)
    bounds = np.arange(size + 1) * total // size  # (n_users, size + 1)
    widths = np.maximum(np.diff(bounds, axis=1), 1)
    places = first + bounds[:, :-1] + rng.integers(0, widths)
    which = np.minimum(np.searchsorted(ends, places, side="right"), len(seeds) - 1)
    drawn = starts[seeds[which]] + places - (ends - degrees[seeds])[which]
    return np.where(total > 0, drawn, -1)


def grouped(
    users: np.ndarray, user_rows: np.ndarray, counts: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Divide the pairs of each user into groups of at most `size` pairs.

    Args:
        users: User of each pair, int64 (B,).
        user_rows: The distinct users, ascending, int64 (m,).
        counts: Number of pairs of each distinct user, int64 (m,).
        size: Maximum number of pairs in a group.

    Returns:
        (index in `user_rows` of each group's user, group number of each pair, position of each pair in its group):
        int64 (n_groups,), (B,) and (B,).
    """
    order = np.argsort(users, kind="stable")
    number = np.empty(len(users), dtype=np.int64)  # position of each pair among the pairs of its user
    number[order] = np.arange(len(users)) - np.repeat(np.cumsum(counts) - counts, counts)
    groups = -(-counts // size)
    first = np.cumsum(groups) - groups
    return (
        np.repeat(np.arange(len(user_rows)), groups),
        first[np.searchsorted(user_rows, users)] + number // size,
        number % size,
    )
