"""Find the feedback: relationship types, and paths through other nodes, that look like users acting on items."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from kgplug.graph.bolt.connection import Connection
from kgplug.graph.counts import count_patterns
from kgplug.graph.guessing.paths import LEAST_SHARED, Hop, Path, find_paths
from kgplug.graph.guessing.profiles import Holder, TypeProfile, sample_nodes
from kgplug.graph.guessing.values import sampled_signs
from kgplug.graph.guessing.words import (
    DISLIKE_WORDS,
    EVENT_WORDS,
    FEEDBACK_WORDS,
    LIKE_WORDS,
    MAKER_WORDS,
    PEOPLE_WORDS,
    RATING_WORDS,
    REFERENCE_WORDS,
    SOCIAL_WORDS,
    STAR_WORDS,
    TIME_WORDS,
    USER_WORDS,
    is_passive,
    mentions,
    names_agent,
)
from kgplug.graph.queries import quote

_ENOUGH_SIGNS = 3  # points that a candidate needs: a label for users or a name for feedback 3, a rating 1, a time 2
_MOST_BETWEEN = 10  # maximum number of labels between users and items whose nodes are sampled
_BY_OTHERS = frozenset(
    {"score", "points", "vote", "votes", "value", "grade"}
)  # words of what others gave to a user's work
_Signs = dict[str, tuple[str | None, str | None]]
_NAMED, _SOCIAL, _UNNAMED = 2, 1, 0  # ranks of candidates: see `Candidate.rank`


@dataclass(frozen=True)
class Candidate:
    """A relationship type or a path that may be feedback.

    Attributes:
        path: the way from users to items.
        points: total weight of the signs that it is feedback; more is better.
        reasons: these signs, in words.
        rank: 2 if a name says that users act on items, 1 if a name says that people act on people, otherwise 0. A
            candidate of a higher rank is better, whatever its points.
        rated: whether a property looks like a rating.
        holders: Cypher variable and holder of each part of the path that may have properties, from item to user.
    """

    path: Path
    points: int
    reasons: tuple[str, ...]
    rank: int
    rated: bool
    holders: tuple[tuple[str, Holder], ...]

    @property
    def direction(self) -> Literal["user_to_item", "item_to_user"]:
        """The direction of the relationships next to the users, as in kgplug.toml."""
        return "user_to_item" if self.path.hops[0].outward else "item_to_user"

    @property
    def direct(self) -> bool:
        """Whether it is a single relationship type."""
        return len(self.path.hops) == 1

    @property
    def is_named(self) -> bool:
        """Whether a name says that users act on items, or people on people."""
        return self.rank > _UNNAMED

    @property
    def disliked(self) -> bool:
        """Whether a name says that users dislike the items."""
        return any(mentions(name, DISLIKE_WORDS) for name in self.path.types)

    @property
    def among_one_label(self) -> bool:
        """Whether users and items have the same label."""
        return self.path.user == self.path.item

    @property
    def goodness(self) -> tuple[int, int, int, int, str]:
        """Key by which candidates are sorted; the highest is the best."""
        return self.rank, self.points, -len(self.path.hops), self.path.n, str(self.path)


def find_feedback(connection: Connection, profiles: list[TypeProfile], labels: dict[str, int]) -> list[Candidate]:
    """Return the relationship types and paths that may be feedback; the most likely comes first.

    Feedback whose name says that users act on items comes first, then feedback within one label, such as
    (:Person)-[:FOLLOWS]->(:Person), then feedback that only the users' label suggests.

    Args:
        connection: connection to the database.
        profiles: profiles of the types.
        labels: label → number of nodes.
    """
    whole = [part for one in profiles for part in (one.parts or [one])]
    labelled = [one for one in whole if one.heads and one.tails]
    signs = sampled_signs(connection, [one.holder for one in labelled])
    direct = [_judge(one, *signs.get(one.holder.pattern, (None, None))) for one in labelled]
    found = _without_doubles([one for one in (*direct, *_indirect(connection, labelled, labels, signs)) if one])
    apart = _users_apart(connection, found)
    largest = max((one.n for one in profiles), default=0)
    ranked = [_weighed(one, apart=apart[one.path.user, one.direction], largest=largest) for one in found]
    return sorted(ranked, key=lambda one: one.goodness, reverse=True)


def near_misses(profiles: list[TypeProfile]) -> list[str]:
    """Return sentences of advice on types that do not count as feedback, but could be used for it.

    Such a type connects nodes that all have the same label.
    """
    return [
        f"{one} joins nodes of one label. To recommend these nodes to each other, set label under [user] "
        f'and [item] to "{one.heads}", and write [[feedback]] with type = "{one.name}".'
        for one in profiles
        if one.heads is not None and one.heads == one.tails and one.shared_tails >= LEAST_SHARED
    ]


def _judge(one: TypeProfile, rating: str | None, timestamp: str | None) -> Candidate | None:
    """Return a relationship type as a candidate for the feedback; None if too few signs suggest that it is feedback.

    Args:
        one: profile of the type.
        rating, timestamp: names of its properties that look like a rating and a time; None if there are none.
    """
    turned = _agent_signs(one, at_head=False) > _agent_signs(one, at_head=True)
    hop = Hop(one, outward=not turned)
    of_users = mentions(hop.start, USER_WORDS)
    by_name = (
        mentions(one.name, FEEDBACK_WORDS)
        or (of_users and mentions(one.name, STAR_WORDS))
        or (names_agent(one.name) and not of_users)
    )
    if not hop.ends_are_shared or not (hop.starts_are_shared or (of_users and by_name)):
        return None
    points, rank, reasons = 0, _UNNAMED, []
    if hop.start == hop.end:
        if not (by_name or mentions(one.name, SOCIAL_WORDS)):
            return None
        points, rank = 3, _SOCIAL
        reasons = [f"{one.name} is a name for feedback between people, so users and items are the same"]
    else:
        if of_users:
            points, reasons = points + 3, [*reasons, f":{hop.start} is a name for users"]
        if by_name:
            points, rank, reasons = points + 3, _NAMED, [*reasons, f"{one.name} is a name for feedback"]
        rank = _NAMED if of_users and rating else rank
    points, reasons = _with_values(points, reasons, rating, timestamp)
    if turned:
        reasons = [*reasons, f"the :{hop.start} is at the end of the relationship, so it is read in reverse"]
    if points < _ENOUGH_SIGNS:
        return None
    path = Path((hop,), one.n)
    return Candidate(path, points, tuple(reasons), rank, rating is not None, ((path.variables[0], one.holder),))


def _indirect(
    connection: Connection, profiles: list[TypeProfile], labels: dict[str, int], signs: _Signs
) -> list[Candidate]:
    """Return the paths through other nodes that may be feedback. Nodes between are sampled only for these paths."""
    paths = [path for path in find_paths(profiles, labels) if _judge_path(path, {}, signs) is not None]
    between = list(dict.fromkeys(label for path in paths for label in path.between))[:_MOST_BETWEEN]
    nodes = sample_nodes(connection, between)
    own = {label: replace(nodes[label], properties=_given(nodes[label])) for label in nodes}
    signs = signs | sampled_signs(connection, list(own.values()))
    judged = [_judge_path(path, own, signs) for path in paths]
    return [one for one in judged if one is not None]


def _given(nodes: Holder) -> dict[str, list[Any]]:
    """Return the properties of nodes that their users may have given: times, and ratings that are not by others."""
    return {
        name: values
        for name, values in nodes.properties.items()
        if mentions(name, TIME_WORDS) or (mentions(name, RATING_WORDS | LIKE_WORDS) and not mentions(name, _BY_OTHERS))
    }


def _holders(path: Path, nodes: dict[str, Holder]) -> list[tuple[str, Holder]]:
    """Return variable and holder of each part of a path that may have properties of feedback, from item to user.

    A work of the user may have the time of the feedback, but no rating.
    """
    found: list[tuple[str, Holder]] = []
    for place in range(len(path.hops) - 1, -1, -1):
        holder = nodes.get(path.between[place]) if place < len(path.between) else None
        if holder is not None:
            if path.made and place == 0:
                times = {name: holder.properties[name] for name in holder.properties if mentions(name, TIME_WORDS)}
                holder = replace(holder, properties=times)
            found.append((path.variables[2 * place + 1], holder))
        found.append((path.variables[2 * place], path.hops[place].profile.holder))
    return found


def _judge_path(path: Path, nodes: dict[str, Holder], signs: _Signs) -> Candidate | None:
    """Return a path through other nodes as a candidate for the feedback; None if too few signs suggest that it is.

    Args:
        path: the path.
        nodes: label → sampled nodes, for labels between users and items.
        signs: pattern of a holder → names of its properties that look like a rating and a time.
    """
    of_users, of_people = mentions(path.user, USER_WORDS), mentions(path.user, PEOPLE_WORDS)
    events = [label for label in path.between if mentions(label, EVENT_WORDS)]
    # A user who rates a film acts on the film, not on its genre: the first type counts only before events and copies.
    at_once = bool(events) or "is a copy" in path.why[0]
    acts = [hop.profile.name for hop in path.hops[0 if at_once else 1 :] if _is_act(hop)]
    about = [mentions(name, REFERENCE_WORDS) for name in path.types]  # a tweet that mentions a user is not the user's
    backward = any(_is_done_to_user(hop) for hop in path.hops)
    if about[0] or backward or not (of_users or of_people or (acts and _is_act(path.hops[0]))):
        return None
    points, reasons = (3 if of_users else 1 if of_people else 0), list(path.why)
    if of_users or of_people:
        reasons += [f":{path.user} is a name for {'users' if of_users else 'people'}"]
    rank = _UNNAMED
    if acts or events:
        what = f"{acts[0]} is a name for feedback" if acts else f":{events[0]} is a name for an event"
        points, rank, reasons = points + 3, _NAMED, [*reasons, what]
    elif path.made:
        points += 2
    elif path.why[0].startswith("each"):
        points += 1
    if about[-1]:
        points, reasons = points + 1, [*reasons, f"{path.types[-1]} says what the :{path.between[-1]} is about"]
    if path.item != path.user and mentions(path.item, USER_WORDS | PEOPLE_WORDS):
        points, reasons = points - 2, [*reasons, f"but :{path.item} is a name for people"]
    if path.user == path.item:
        rank = min(rank, _SOCIAL)
    holders = _holders(path, nodes)
    found = [signs.get(holder.pattern, (None, None)) for _, holder in holders]
    rating, timestamp = (next((pair[place] for pair in found if pair[place]), None) for place in (0, 1))
    points, reasons = _with_values(points - len(path.between), reasons, rating, timestamp)
    if points < _ENOUGH_SIGNS:
        return None
    return Candidate(path, points, tuple(reasons), rank, rating is not None, tuple(holders))


def _with_values(points: int, reasons: list[str], rating: str | None, timestamp: str | None) -> tuple[int, list[str]]:
    if rating:
        points, reasons = points + 1, [*reasons, f"{rating} looks like a rating"]
    if timestamp:
        points, reasons = points + 2, [*reasons, f"{timestamp} looks like a time"]
    return points, reasons


def _is_act(hop: Hop) -> bool:
    """Return whether a type's name says that the node on the user's side acts on the other one."""
    name = hop.profile.name
    return mentions(name, FEEDBACK_WORDS) and hop.outward != is_passive(name)


def _is_done_to_user(hop: Hop) -> bool:
    """Return whether a type's name says that the node on the item's side acts on the other one."""
    name, by_people = hop.profile.name, mentions(hop.end, USER_WORDS | PEOPLE_WORDS)
    words = MAKER_WORDS | FEEDBACK_WORDS | SOCIAL_WORDS if by_people else MAKER_WORDS
    return mentions(name, words) and hop.outward == is_passive(name)


def _agent_signs(one: TypeProfile, *, at_head: bool) -> int:
    """Return points for signs that users are the start nodes of a type or, without `at_head`, its end nodes.

    The signs are the label of these nodes, and whether the type's name is passive, such as LIKED_BY.
    """
    label = str(one.heads if at_head else one.tails)
    signs = 3 * mentions(label, USER_WORDS) + mentions(label, PEOPLE_WORDS)
    passive = is_passive(one.name) or (names_agent(one.name) and not one.name.lower().endswith("of"))
    return signs + (2 if passive != at_head else 0)


def _without_doubles(found: list[Candidate]) -> list[Candidate]:
    """Leave out candidates that are parts of others, or others read from the wrong end.

    An order is not a user: (:Order)-[:ORDERS]->(:Product) is left out if customers have orders. A copy is not what to
    recommend, so a candidate that ends at copies has fewer points than the one that ends at their books.
    """
    paths = [one for one in found if not one.direct]
    events = {one.path.between[0] for one in paths if one.rank == _NAMED and not one.path.made}
    copies = {one.path.between[-1] for one in paths if "is a copy" in one.path.why[-1]}
    kept = []
    for one in found:
        turned = [other for other in paths if _is_turned(one.path, other.path) and other.goodness > one.goodness]
        if turned or (one.path.user in events and not mentions(one.path.user, USER_WORDS)):
            continue
        if one.path.item in copies:
            reason = f"but each :{one.path.item} is only a copy"
            one = replace(one, points=one.points - 4, rank=_UNNAMED, reasons=(*one.reasons, reason))
        kept.append(one)
    return kept


def _is_turned(path: Path, other: Path) -> bool:
    return path != other and path.ends == other.ends[::-1] and path.types == other.types[::-1]


def _users_apart(connection: Connection, found: list[Candidate]) -> dict[tuple[str, str], bool]:
    """Return (user label, direction) → whether users have relationships in one direction only: a sign of feedback.

    For a type that points away from users, no relationship of any type may end at a user. For a type that points to
    users, none may start at a user.
    """
    patterns = {}
    for one in found:
        user = quote(one.path.user)
        patterns[one.path.user, one.direction] = (
            f"()-[n]->(:{user})" if one.direction == "user_to_item" else f"(:{user})-[n]->()"
        )
    return {key: not n for key, n in count_patterns(connection, patterns).items()}


def _weighed(one: Candidate, *, apart: bool, largest: int) -> Candidate:
    points, reasons = one.points, one.reasons
    if apart:
        where = "ends at" if one.direction == "user_to_item" else "starts at"
        points, reasons = points + 1, (*reasons, f"no relationship {where} a :{one.path.user}")
    if one.direct and one.path.n == largest:
        points, reasons = points + 1, (*reasons, "it is the most frequent type")
    return replace(one, points=points, reasons=reasons)
