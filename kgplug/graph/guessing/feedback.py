"""Find the feedback: relationship types whose names, properties and node labels look like users acting on items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kgplug.graph.bolt.connection import Connection
from kgplug.graph.counts import count_patterns
from kgplug.graph.guessing.profiles import TypeProfile
from kgplug.graph.guessing.values import sampled_signs
from kgplug.graph.guessing.words import (
    FEEDBACK_WORDS,
    PEOPLE_WORDS,
    SOCIAL_WORDS,
    USER_WORDS,
    is_passive,
    mentions,
    names_agent,
)
from kgplug.graph.queries import quote

_LEAST_SHARED = 0.05  # minimum share of a feedback type's sampled relationships whose item has several users
_ENOUGH_SIGNS = 3  # points that a candidate needs: a label for users or a name for feedback 3, a rating 1, a time 2


@dataclass(frozen=True)
class Candidate:
    """A relationship type that may be feedback, and its direction.

    Attributes:
        profile: profile of the type.
        direction: whether its relationships point from users to items or the reverse, as in kgplug.toml.
        points: total weight of the signs that the type is feedback; more is better.
        reasons: these signs, in words.
    """

    profile: TypeProfile
    direction: Literal["user_to_item", "item_to_user"]
    points: int
    reasons: list[str]

    @property
    def user(self) -> str:
        """Label of the users."""
        return str(self.profile.heads if self.direction == "user_to_item" else self.profile.tails)

    @property
    def item(self) -> str:
        """Label of the items."""
        return str(self.profile.tails if self.direction == "user_to_item" else self.profile.heads)

    @property
    def among_one_label(self) -> bool:
        """Whether users and items have the same label."""
        return self.profile.heads == self.profile.tails


def find_feedback(connection: Connection, profiles: list[TypeProfile]) -> list[Candidate]:
    """Return the relationship types that may be feedback; the most likely comes first.

    Feedback between two labels comes before feedback within one label, such as (:Person)-[:FOLLOWS]->(:Person).
    """
    labelled = [one for one in profiles if one.heads and one.tails]
    signs = sampled_signs(connection, labelled)
    candidates = [_judge(one, *signs.get(one.name, (None, None))) for one in labelled]
    found = [one for one in candidates if one is not None]
    apart = _users_apart(connection, found)
    largest = max((one.n for one in profiles), default=0)
    ranked = [_weighed(one, apart=apart.get(one.profile.name, False), largest=largest) for one in found]
    return sorted(
        ranked, key=lambda one: (not one.among_one_label, one.points, one.profile.n, one.profile.name), reverse=True
    )


def near_misses(profiles: list[TypeProfile]) -> list[str]:
    """Return sentences of advice on types that do not count as feedback, but could be used for it.

    Such a type connects nodes that all have the same label. Or it leads from users to nodes such as orders, which
    belong to one user each and have relationships to items.
    """
    sentences = []
    for one in profiles:
        if one.heads is None or one.tails is None:
            continue
        if one.heads == one.tails and one.shared_tails >= _LEAST_SHARED:
            sentences.append(
                f"{one} joins nodes of one label. To recommend these nodes to each other, set label under [user] "
                f'and [item] to "{one.heads}" and type under [feedback] to "{one.name}".'
            )
        elif mentions(one.heads, USER_WORDS) and one.shared_tails < _LEAST_SHARED:
            onward = max((other for other in profiles if other.heads == one.tails), key=lambda p: p.n, default=None)
            if onward is not None and onward.tails:
                sentences.append(
                    f"each :{one.tails} has only one :{one.heads}. Join users and items directly: "
                    f"MATCH (u:{quote(one.heads)})-[:{quote(one.name)}]->()-[:{quote(onward.name)}]->"
                    f"(i:{quote(onward.tails)}) MERGE (u)-[:CHOSE]->(i)"
                )
    return sentences


def _judge(one: TypeProfile, rating: str | None, timestamp: str | None) -> Candidate | None:
    """Return a relationship type as a candidate for the feedback; None if too few signs suggest that it is feedback.

    Args:
        one: profile of the type.
        rating, timestamp: names of its properties that look like a rating and a time; None if there are none.
    """
    turned = _agent_signs(one, at_head=False) > _agent_signs(one, at_head=True)
    user, shared, busy = one.heads, one.shared_tails, one.shared_heads
    if turned:
        user, shared, busy = one.tails, one.shared_heads, one.shared_tails
    if shared < _LEAST_SHARED or (busy < _LEAST_SHARED and not mentions(str(user), USER_WORDS)):
        return None
    by_name = mentions(one.name, FEEDBACK_WORDS) or (names_agent(one.name) and not mentions(str(user), USER_WORDS))
    points, reasons = 0, []
    if one.heads == one.tails:
        if not (by_name or mentions(one.name, SOCIAL_WORDS)):
            return None
        points, reasons = 3, [f"{one.name} is a name for feedback between people, so users and items are the same"]
    else:
        if mentions(str(user), USER_WORDS):
            points, reasons = points + 3, [*reasons, f":{user} is a name for users"]
        if by_name:
            points, reasons = points + 3, [*reasons, f"{one.name} is a name for feedback"]
    if rating:
        points, reasons = points + 1, [*reasons, f"{rating} looks like a rating"]
    if timestamp:
        points, reasons = points + 2, [*reasons, f"{timestamp} looks like a time"]
    if turned:
        reasons = [*reasons, f"the :{user} is at the end of the relationship, so it is read in reverse"]
    return (
        Candidate(one, "item_to_user" if turned else "user_to_item", points, reasons)
        if points >= _ENOUGH_SIGNS
        else None
    )


def _agent_signs(one: TypeProfile, *, at_head: bool) -> int:
    """Return points for signs that users are the start nodes of a type or, without `at_head`, its end nodes.

    The signs are the label of these nodes, and whether the type's name is passive, such as LIKED_BY.
    """
    label = str(one.heads if at_head else one.tails)
    signs = 3 * mentions(label, USER_WORDS) + mentions(label, PEOPLE_WORDS)
    passive = is_passive(one.name) or (names_agent(one.name) and not one.name.lower().endswith("of"))
    return signs + (2 if passive != at_head else 0)


def _users_apart(connection: Connection, found: list[Candidate]) -> dict[str, bool]:
    """Return type → whether its users have relationships in one direction only, which is a sign of feedback.

    For a type that points from users to items, no relationship of any type may end at a user. For a type that points
    from items to users, none may start at a user.
    """
    patterns = {}
    for one in found:
        user = quote(one.user)
        patterns[one.user, one.direction] = (
            f"()-[n]->(:{user})" if one.direction == "user_to_item" else f"(:{user})-[n]->()"
        )
    counts = count_patterns(connection, patterns)
    return {one.profile.name: not counts[one.user, one.direction] for one in found}


def _weighed(one: Candidate, *, apart: bool, largest: int) -> Candidate:
    points, reasons = one.points, one.reasons
    if apart:
        where = "ends at" if one.direction == "user_to_item" else "starts at"
        points, reasons = points + 1, [*reasons, f"no relationship {where} a :{one.user}"]
    if one.profile.n == largest:
        points, reasons = points + 1, [*reasons, "it is the most frequent type"]
    return Candidate(one.profile, one.direction, points, reasons)
