"""Ways from users to items: one relationship type, or several with nodes such as orders or copies between.

A node between a user and an item is one of three kinds:

- an event, which belongs to one user: an order, a session, a review;
- a copy, which leads to one item: a copy of a book, a variant of a product;
- a work of the user, such as a paper that cites others.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property

from kgplug.graph.guessing.profiles import TypeProfile
from kgplug.graph.guessing.words import COPY_WORDS, EVENT_WORDS, MAKER_WORDS, mentions
from kgplug.graph.queries import quote

LEAST_SHARED = 0.05  # minimum share of sampled relationships whose end has several, for the end to be shared
_MOST_HOPS = 3
_PLAIN = re.compile(r"[^\W\d]\w*")
# Words that a variable of a pattern does not have: those of kgplug, and those with which Cypher writes.
_TAKEN = frozenset("user item rated create merge set detach delete remove drop foreach load".split())  # noqa: SIM905


@dataclass(frozen=True)
class Hop:
    """A relationship type on the way from a user to an item.

    Attributes:
        profile: profile of the type.
        outward: whether its relationships point away from the user.
    """

    profile: TypeProfile
    outward: bool

    @property
    def start(self) -> str:
        """Label of the nodes on the user's side."""
        return str(self.profile.heads if self.outward else self.profile.tails)

    @property
    def end(self) -> str:
        """Label of the nodes on the item's side."""
        return str(self.profile.tails if self.outward else self.profile.heads)

    @property
    def starts_are_shared(self) -> bool:
        """Whether nodes on the user's side have several relationships of the type."""
        return (self.profile.shared_heads if self.outward else self.profile.shared_tails) >= LEAST_SHARED

    @property
    def ends_are_shared(self) -> bool:
        """Whether nodes on the item's side have several relationships of the type."""
        return (self.profile.shared_tails if self.outward else self.profile.shared_heads) >= LEAST_SHARED

    def arrow(self, variable: str = "") -> str:
        """Return the type as a part of a Cypher pattern, read from the user to the item."""
        between = f"-[{variable}:{plainly(self.profile.name)}]-"
        return f"{between}>" if self.outward else f"<{between}"


@dataclass(frozen=True)
class Path:
    """A way from users to items.

    Attributes:
        hops: its relationship types, from the user to the item.
        n: number of its matches, estimated if it has several types.
        why: for each node between, why it may be there, in words.
    """

    hops: tuple[Hop, ...]
    n: int
    why: tuple[str, ...] = ()

    @property
    def user(self) -> str:
        """Label of the users."""
        return self.hops[0].start

    @property
    def item(self) -> str:
        """Label of the items."""
        return self.hops[-1].end

    @property
    def between(self) -> tuple[str, ...]:
        """Labels of the nodes between users and items; () for a single type."""
        return tuple(hop.end for hop in self.hops[:-1])

    @property
    def ends(self) -> tuple[str, str]:
        """The user label and the item label."""
        return self.user, self.item

    @property
    def types(self) -> tuple[str, ...]:
        """Names of the relationship types."""
        return tuple(hop.profile.name for hop in self.hops)

    @property
    def made(self) -> bool:
        """Whether the first node between is a work of the user."""
        return len(self.hops) > 1 and _is_made(self.hops[0])

    @cached_property
    def variables(self) -> tuple[str, ...]:
        """A Cypher variable for each type and each node between, in the order of the pattern; different names."""
        names = [name for pair in zip(self.types, (*self.between, ""), strict=True) for name in pair]
        found: list[str] = []
        for name in names[:-1]:
            plain = re.sub(r"\W+", "_", name.lower()).strip("_") or "x"
            plain = f"the_{plain}" if plain in _TAKEN or not _PLAIN.fullmatch(plain) else plain
            while plain in found:
                plain += "2"
            found.append(plain)
        return tuple(found)

    def pattern(self, used: Collection[str] = ()) -> str:
        """Return the Cypher pattern between (user) and (item). Only the variables in `used` are written."""
        text = "(user)"
        names = [name if name in used else "" for name in self.variables] + ["item"]
        for number, hop in enumerate(self.hops):
            label = "" if number == len(self.hops) - 1 else f":{plainly(hop.end)}"
            text += f"{hop.arrow(names[2 * number])}({names[2 * number + 1]}{label})"
        return text

    def __str__(self) -> str:
        text = f"(:{self.user})"
        for hop in self.hops:
            text += f"{hop.arrow()}(:{hop.end})"
        return text


def plainly(name: str) -> str:
    """Return a label, type or property as Cypher writes it: in backticks only if necessary."""
    return name if name.isascii() and _PLAIN.fullmatch(name) else quote(name)


def find_paths(profiles: Collection[TypeProfile], labels: dict[str, int]) -> list[Path]:
    """Return the ways through one or two nodes that users may take to items, without those of a single type.

    Args:
        profiles: profiles of types with a label at each end.
        labels: label → number of nodes.
    """
    hops = [Hop(one, outward) for one in profiles for outward in (True, False) if one.n_sampled]
    return [path for hop in hops for path in _extend(Path((hop,), hop.profile.n), hops, labels)]


def _extend(path: Path, hops: list[Hop], labels: dict[str, int]) -> Iterator[Path]:
    """Yield the paths that continue a path through its last node."""
    last, visited = path.hops[-1], {path.user, *path.between}
    for hop in hops:
        same = hop.profile == last.profile and hop.outward != last.outward
        if hop.start != last.end or same or hop.end in visited - {path.user}:
            continue
        why = _why_between(path, hop)
        if why is None or (hop.end in (path.user, last.end) and len(path.hops) > 1):
            continue
        if hop.end == last.end and not _is_made(last):
            continue
        n = round(path.n * hop.profile.n / max(1, labels.get(last.end, 1)))
        longer = Path((*path.hops, hop), max(1, n), (*path.why, why))
        if hop.ends_are_shared and _is_busy(longer):
            yield longer
        if len(longer.hops) < _MOST_HOPS:
            yield from _extend(longer, hops, labels)


def _why_between(path: Path, onward: Hop) -> str | None:
    """Return why nodes between the end of a path and an onward hop lead from users to items; None if they do not."""
    hop, label = path.hops[-1], path.hops[-1].end
    if not hop.ends_are_shared and (len(path.hops) == 1 or not path.made):
        return f"each :{label} belongs to one :{hop.start}"
    if not onward.starts_are_shared and (mentions(label, COPY_WORDS) or mentions(onward.profile.name, COPY_WORDS)):
        return f"each :{label} is a copy of one :{onward.end}"
    if len(path.hops) == 1 and _is_made(hop) and onward.outward:
        return f"a :{label} is the work of the :{hop.start}"
    return None


def _is_made(hop: Hop) -> bool:
    """Return whether a type's name says that users made its end nodes. Reviews, which users write, are events."""
    return hop.outward and mentions(hop.profile.name, MAKER_WORDS) and not mentions(hop.end, EVENT_WORDS)


def _is_busy(path: Path) -> bool:
    """Return whether users have several ways to items: several nodes between, or several items at such a node."""
    return any(hop.starts_are_shared for hop in path.hops)
