"""Guess the meaning of a database's labels, types and properties: `kgplug init`.

The guess uses counts, constraints, names and samples. To limit the cost on a large graph, only labels with up to half a
million nodes are checked completely for a unique key.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from kgplug.data.sources.catalogue import DEMO
from kgplug.errors import DataError, UsageError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.contents import Contents, read_contents, sample_properties
from kgplug.graph.guessing.feedback import Candidate, find_feedback, near_misses
from kgplug.graph.guessing.keys import SAMPLED_NODES, Guessed, guess_keys, guess_title
from kgplug.graph.guessing.knowledge import guess_knowledge
from kgplug.graph.guessing.options import Kind, Option, list_options
from kgplug.graph.guessing.others import other_options
from kgplug.graph.guessing.profiles import TypeProfile, profile_types
from kgplug.graph.guessing.tables import Table, make_table, names_of
from kgplug.graph.guessing.toml import comment, entry, line
from kgplug.graph.guessing.values import MOST_JUDGED
from kgplug.graph.queries import quote
from kgplug.graph.schema import GraphSchema, ItemSchema, UserSchema
from kgplug.plain_text import counted

_MOST_JUDGED_OF_OTHERS = 100_000  # maximum number of relationships whose values are checked, per type in a comment


def guess_schema(connection: Connection, feedback: int = 1) -> tuple[GraphSchema, str]:
    """Guess the schema of a graph.

    Args:
        connection: connection to the database.
        feedback: number of the feedback to use, among `Guess.options`.

    Returns:
        The schema, and the same schema as TOML text, with the reason for every guess as a comment. If no feedback was
        found, the text says so. Embeddings can still be trained on such a graph.

    Raises:
        DataError: the database has no relationships between labelled nodes.
        UsageError: there is no feedback with this number.
    """
    return Guess.of(connection).write(feedback)


@dataclass
class Guess:
    """A guess before the feedback is chosen.

    Attributes:
        connection: connection to the database.
        contents: contents of the database.
        profiles: profiles of its types.
        keys: label → its guessed key.
        candidates: what may be feedback, the best first.
        options: the choices of feedback, the best first; [] if none was found.
    """

    connection: Connection
    contents: Contents
    profiles: list[TypeProfile]
    keys: dict[str, Guessed]
    candidates: list[Candidate]
    options: list[Option]
    _samples: dict[str, dict[str, list[Any]]] = field(default_factory=dict[str, dict[str, list[Any]]])

    @classmethod
    def of(cls, connection: Connection) -> Guess:
        """Look at a database.

        Raises:
            DataError: it has no relationships between labelled nodes.
        """
        contents = read_contents(connection)
        profiles = profile_types(connection, contents)
        if not profiles:
            raise DataError(
                f'Nothing to guess from: database "{contents.database}" has {sum(contents.types.values())} '
                f"relationships between labelled nodes. Import a graph first, e.g. `kgplug import {DEMO.name}`."
            )
        candidates = find_feedback(connection, profiles, contents.labels)
        keys = guess_keys(connection, contents)
        return cls(connection, contents, profiles, keys, candidates, list_options(candidates))

    def write(self, feedback: int = 1) -> tuple[GraphSchema, str]:
        """Return the schema with one of the options as the feedback, and its TOML text.

        Args:
            feedback: number of the option, from 1. Without options, only 1 is accepted.

        Raises:
            UsageError: there is no such option.
        """
        if not 1 <= feedback <= max(1, len(self.options)):
            found = f"from 1 to {len(self.options)}" if self.options else "none, because this graph has no feedback"
            raise UsageError(f"--feedback {feedback}: expected the number of a feedback that init lists: {found}.")
        chosen = self.options[feedback - 1] if self.options else None
        user, user_lines = self._user(chosen)
        item, item_lines = self._item(chosen)
        content: dict[str, Any] = {"user": user, "item": item}
        if chosen is None:
            lines = ["[user]", *user_lines, "", "[item]", *item_lines, "", *self._no_feedback()]
            known = GraphSchema(user=UserSchema(label=item.label, key=item.key), item=item)
        else:
            names, several = names_of(chosen.kinds), len(chosen.kinds) > 1
            tables = [
                make_table(
                    self.connection, kind, name=name, several=several, reasons=kind == chosen.kinds[0], rows=MOST_JUDGED
                )
                for kind, name in zip(chosen.kinds, names, strict=True)
            ]
            content["feedback"] = tuple(table.schema for table in tables)
            lines = ["[user]", *user_lines, "", "[item]", *item_lines]
            for table in tables:
                lines += ["", *table.lines]
            known = GraphSchema(**content)
        others = [] if chosen is None else other_options(self.options, chosen, ends=self._ends, table=self._table)
        knowledge, knowledge_lines = guess_knowledge(
            self.connection,
            self.contents,
            known,
            self.profiles,
            self.keys,
            exclude=[] if chosen is None else self._not_chosen(chosen),
            properties=self._sampled(item.label),
            all_keys=bool(others),
        )
        n, labels = sum(self.contents.types.values()), len(self.contents.labels)
        head = comment(
            f'Written by `kgplug init` from database "{self.contents.database}": {counted(n, "relationship")} of '
            f"{counted(len(self.contents.types), 'type')}, {counted(labels, 'label')}. Correct what is wrong, "
            "then run `kgplug check`."
        )
        text = "\n".join([*head, "", *lines, "", *knowledge_lines, *others]) + "\n"
        return GraphSchema(**content, knowledge=knowledge), text

    def _user(self, chosen: Option | None) -> tuple[UserSchema, list[str]]:
        if chosen is None:
            why = "No users found; see below. Set label and key when the graph has users."
            return UserSchema(), comment(why)
        label, one = chosen.ends[0], chosen.kinds[0].candidate
        key, key_line = self._key(label)
        starts = "starts" if one.direction == "user_to_item" else "ends"
        where = f"{counted(self.contents.labels[label], 'node')}; :{one.path.types[0]} {starts} there"
        return UserSchema(label=label, key=key), entry("label", label, where) + key_line

    def _item(self, chosen: Option | None) -> tuple[ItemSchema, list[str]]:
        label = _hub(self.profiles) if chosen is None else chosen.ends[1]
        where = "the label with the most relationships"
        if chosen is not None:
            one = chosen.kinds[0].candidate
            ends = "ends" if one.path.hops[-1].outward else "starts"
            where = f":{one.path.types[-1]} {ends} there"
            where += "; users and items are the same" if one.among_one_label else ""
        key, key_line = self._key(label)
        title = self._title(label, key)
        lines = entry("label", label, f"{counted(self.contents.labels[label], 'node')}; {where}") + key_line
        lines += entry("title", title.value, title.why)
        return ItemSchema(label=label, key=key, title=title.value), lines

    def _key(self, label: str) -> tuple[str, list[str]]:
        """Return the key of a label, and its TOML lines. If none was found, return "id" with a request to change it."""
        guessed = self.keys.get(label, Guessed(None, "not looked for"))
        if guessed.value is not None:
            return guessed.value, entry("key", guessed.value, guessed.why)
        why = f"CHANGE THIS: {guessed.why}. Add a unique property to the nodes and name it here"
        return "id", entry("key", "id", why)

    def _title(self, label: str, key: str) -> Guessed:
        values = self._sampled(label)
        return guess_title(values, min(self.contents.labels[label], SAMPLED_NODES), key)

    def _sampled(self, label: str) -> dict[str, list[Any]]:
        if label not in self._samples:
            pattern = f"(n:{quote(label)})"
            self._samples[label] = sample_properties(self.connection, pattern, rows=SAMPLED_NODES)
        return self._samples[label]

    def _no_feedback(self) -> list[str]:
        seen = ", ".join(str(one) for one in self.profiles[:8])
        lines = comment(
            f"No feedback found: no type looks like users acting on items (types: {seen}). Embeddings do not need it. "
            "Recommenders need [[feedback]] with type and, if the graph has them, rating, like_threshold and timestamp."
        )
        for sentence in near_misses(self.profiles):
            lines += comment(f"Note: {sentence}")
        return lines

    def _not_chosen(self, chosen: Option) -> list[str]:
        """Return the types of direct feedback between the same users and items that are not chosen."""
        taken = {name for kind in chosen.kinds for name in kind.candidate.path.types}
        return sorted(
            {
                one.path.types[0]
                for one in self.candidates
                if one.direct and one.path.ends == chosen.ends and one.path.types[0] not in taken
            }
        )

    def _ends(self, option: Option) -> list[str]:
        """Return the lines of [user] and [item] for an option, without comments."""
        label, item = option.ends
        key = self._key(item)[0]
        title = self._title(item, key).value
        lines = ["[user]", line("label", label), line("key", self._key(label)[0])]
        return [*lines, "[item]", line("label", item), line("key", key), *([line("title", title)] if title else [])]

    def _table(self, kind: Kind, name: str | None, several: bool) -> Table:
        """Return the table of a kind that is not chosen. Fewer values are checked than for a chosen one."""
        return make_table(self.connection, kind, name=name, several=several, rows=_MOST_JUDGED_OF_OTHERS)


def _hub(profiles: list[TypeProfile]) -> str:
    """Return the label whose nodes have the most relationships. It becomes the item label if no feedback was found."""
    touched: Counter[str] = Counter()
    for one in profiles:
        for label in {one.heads, one.tails} - {None}:
            touched[str(label)] += one.n
    if touched:
        return max(sorted(touched), key=lambda label: touched[label])
    return profiles[0].head_labels[0][0]
