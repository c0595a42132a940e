"""Describe feedback as a table of kgplug.toml: its pattern, rating, weight and time, with the reason for each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kgplug.graph.bolt.connection import Connection
from kgplug.graph.guessing.feedback import Candidate
from kgplug.graph.guessing.options import Kind
from kgplug.graph.guessing.paths import Path, plainly
from kgplug.graph.guessing.toml import entry, line
from kgplug.graph.guessing.values import Rating, Time, guess_rating, guess_timestamp
from kgplug.graph.guessing.weights import Weight, guess_weight
from kgplug.graph.guessing.words import EVENT_WORDS, FEEDBACK_WORDS, mentions
from kgplug.graph.queries import quote
from kgplug.graph.schema import FeedbackSchema
from kgplug.plain_text import counted

_Entry = tuple[str, str | float | None, str]


@dataclass
class Table:
    """A [[feedback]] table.

    Attributes:
        entries: key, value and reason of each entry, in the order of the file. A value is None if nothing was found.
    """

    entries: list[_Entry] = field(default_factory=list["_Entry"])

    def add(self, key: str, value: str | float | None, why: str) -> None:
        """Add an entry."""
        self.entries.append((key, value, why))

    def explain(self, reasons: tuple[str, ...]) -> None:
        """Add reasons to the entry that says where the feedback is."""
        place = next(number for number, (key, _, _) in enumerate(self.entries) if key in ("type", "pattern"))
        key, value, why = self.entries[place]
        self.entries[place] = key, value, "; ".join([why, *reasons])

    @property
    def schema(self) -> FeedbackSchema:
        """The table as a schema."""
        content: dict[str, Any] = {key: value for key, value, _ in self.entries if value is not None}
        return FeedbackSchema(**content)

    @property
    def lines(self) -> list[str]:
        """Its lines in kgplug.toml, with the reasons as comments."""
        lines = ["[[feedback]]"]
        for key, value, why in self.entries:
            lines += entry(key, value, why) if why else [line(key, value)] if value is not None else []
        return lines

    @property
    def bare_lines(self) -> list[str]:
        """Its lines without comments and without entries that have no value."""
        return ["[[feedback]]", *(line(key, value) for key, value, _ in self.entries if value is not None)]


def make_table(
    connection: Connection, kind: Kind, *, name: str | None, several: bool, rows: int, reasons: bool = True
) -> Table:
    """Return the table of a kind of feedback.

    Args:
        connection: connection to the database.
        kind: the kind.
        name: its name; None for the default.
        several: whether there are other kinds. Then entries without a value are left out.
        rows: maximum number of relationships or nodes whose values are checked, per property.
        reasons: whether to give the reasons why it is feedback.
    """
    one, table = kind.candidate, Table()
    if name is not None:
        table.add("name", name, "")
    if one.direct and not one.disliked:
        _describe_type(connection, one, table, several=several, rows=rows)
    else:
        _describe_pattern(connection, one, table, several=several, rows=rows)
    if reasons:
        table.explain(one.reasons)
    if kind.strength != 1 or several:
        whole = int(kind.strength) == kind.strength
        table.add("strength", int(kind.strength) if whole else kind.strength, kind.why)
    return table


def names_of(kinds: list[Kind]) -> list[str | None]:
    """Return a name for each kind: None if its type is name enough, otherwise different names."""
    found: list[str | None] = []
    for kind in kinds:
        path = kind.candidate.path
        name = None if kind.candidate.direct and not kind.candidate.disliked else _name_of(path)
        known = {other or kinds[number].candidate.path.types[0] for number, other in enumerate(found)}
        plain = name or path.types[0]
        number = 2
        while plain in known:
            name = plain = f"{name or path.types[0]} {number}".lower()
            number += 1
        found.append(name)
    return found


def _name_of(path: Path) -> str:
    """Return a name for a path: the type that is a name for feedback, otherwise the event, otherwise the first type."""
    names = [name for name in path.types if mentions(name, FEEDBACK_WORDS)]
    names += [label for label in path.between if mentions(label, EVENT_WORDS)]
    return [*names, path.types[0]][0].lower().replace("_", " ")


def _describe_type(connection: Connection, one: Candidate, table: Table, *, several: bool, rows: int) -> None:
    """Add the entries of a relationship type: they name its properties."""
    hop, holder = one.path.hops[0], one.path.hops[0].profile.holder
    rating, time = guess_rating(connection, holder, rows=rows), guess_timestamp(connection, holder, rows=rows)
    weight = guess_weight(connection, holder, rows=rows) if rating.name is None else Weight(None)
    table.add("type", hop.profile.name, f"{counted(one.path.n, 'relationship')}, {hop.profile}")
    if not hop.outward:
        why = f"{hop.profile}: the :{hop.start} is at its end and acts on the :{hop.end}"
        table.add("direction", "item_to_user", why)
    if rating.name is None and weight.name is not None:
        value = plainly(weight.name)
        table.add("weight", f"log(1 + rated.{value})" if weight.logarithm else weight.name, weight.why)
    else:
        _add_rating(table, rating.name, rating.like_threshold, rating.why, several=several)
    if time.name is not None or not several:
        table.add("timestamp", time.name, time.why)


def _describe_pattern(connection: Connection, one: Candidate, table: Table, *, several: bool, rows: int) -> None:
    """Add the entries of a path: Cypher expressions over the variables of its pattern."""
    path, notes = one.path, dict[str, str]()
    rating, weight, time = Rating(None, None, ""), Weight(None), Time(None, "")
    of: dict[str, str] = {}  # rating, weight or timestamp → the variable that has it
    for variable, holder in one.holders:
        if not one.disliked and "rating" not in of:
            rating = guess_rating(connection, holder, convert=True, rows=rows)
            _note(notes, of, "rating", variable, rating.name, rating.why)
        if holder.things == "relationship" and "weight" not in of:
            weight = guess_weight(connection, holder, rows=rows)
            _note(notes, of, "weight", variable, weight.name, weight.why)
        if "timestamp" not in of:
            time = guess_timestamp(connection, holder, convert=True, rows=rows)
            _note(notes, of, "timestamp", variable, time.name, time.why)
    if "rating" in of or one.disliked:
        of.pop("weight", None)
    found = f"{'about ' if path.between else ''}{counted(path.n, 'match', plural='matches')}, {path}"
    table.add("pattern", path.pattern(of.values()), found)
    if one.disliked:
        table.add("rating", "0", f"{path.types[0]} says that users dislike these items: 0 is below like_threshold")
        table.add("like_threshold", 1.0, "")
    elif "weight" in of:
        value = _value(of["weight"], str(weight.name))
        table.add("weight", f"log(1 + {value})" if weight.logarithm else value, weight.why)
    else:
        value = _value(of["rating"], str(rating.name), rating.value) if "rating" in of else None
        _add_rating(table, value, rating.like_threshold, notes["rating"], several=several)
    if "timestamp" in of or not several:
        value = _value(of["timestamp"], str(time.name), time.value) if "timestamp" in of else None
        table.add("timestamp", value, notes["timestamp"])


def _note(notes: dict[str, str], of: dict[str, str], setting: str, variable: str, name: str | None, why: str) -> None:
    """Note that a variable has a rating, weight or time; without a name, note only why not, if that is a finding."""
    if name is not None:
        of[setting] = variable
    if name is not None or notes.get(setting, "no property").startswith("no property"):
        notes[setting] = why


def _add_rating(table: Table, value: str | None, like_threshold: float | None, why: str, *, several: bool) -> None:
    if value is not None or not several:
        table.add("rating", value, why)
    if value is not None:
        table.add("like_threshold", like_threshold, "the lowest rating that counts as a like")


def _value(variable: str, name: str, conversion: str | None = None) -> str:
    """Return a Cypher expression for a property of a variable, or for its conversion from text."""
    value = f"{variable}.{plainly(name)}"
    return value if conversion is None else conversion.replace(f"r.{quote(name)}", value)
