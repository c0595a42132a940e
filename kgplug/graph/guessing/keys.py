"""Guess the key property and the title property of a label."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kgplug.graph.bolt.connection import Connection
from kgplug.graph.contents import Contents
from kgplug.graph.counts import MOST_NAMES
from kgplug.graph.guessing.words import words_of
from kgplug.graph.naming import KEY_NAMES, title_rank
from kgplug.graph.queries import quote

_MOST_CHECKED = 500_000  # all nodes of a label are checked for uniqueness only if it has at most this many
_MOST_TOGETHER = 2_000_000  # maximum total number of nodes in all labels that are checked completely
_MOST_TRIED = 4  # maximum number of properties of a label that are checked for uniqueness
SAMPLED_NODES = 1000
_EXACT = 2.0**53  # whole numbers up to here are exact as floats


@dataclass(frozen=True)
class Guessed:
    """A guess and its reason.

    Attributes:
        value: name of the guessed property; None if no property fits.
        why: the reason, for a comment in kgplug.toml.
    """

    value: str | None
    why: str


def guess_keys(connection: Connection, contents: Contents) -> dict[str, Guessed]:
    """Return label → its key property: one with a uniqueness constraint, otherwise one whose values are unique.

    If a label has many nodes, uniqueness is checked only on a sample of them. The number of queries does not grow with
    the number of labels.
    """
    keys: dict[str, Guessed] = {}
    for label, constrained in contents.unique.items():
        best = min(constrained, key=lambda name: (_key_rank(name, label), name))
        keys[label] = Guessed(best, "has a unique constraint")
    samples = _sample_labels(connection, {label: n for label, n in contents.labels.items() if label not in keys})
    possible = {label: sample.possible(label)[:_MOST_TRIED] for label, sample in samples.items()}
    left = _few_enough({label: contents.labels[label] for label, names in possible.items() if names})
    for turn in range(_MOST_TRIED):
        names = {label: possible[label][turn] for label in left if turn < len(possible[label])}
        for label in _unique_on_all(connection, names):
            nodes = f"all {contents.labels[label]:,} nodes" if contents.labels[label] != 1 else "the only node"
            why = f"unique on {nodes}, without a constraint"
            keys[label] = Guessed(names[label], why)
            left.remove(label)
    for label, sample in samples.items():
        if label not in keys and possible[label] and contents.labels[label] > sample.n and label not in left:
            why = f"unique on {sample.n:,} sampled nodes, without a constraint"
            keys[label] = Guessed(possible[label][0], why)
    return {label: keys.get(label) or _none(samples[label].properties) for label in contents.labels}


@dataclass
class _Sample:
    """A sample of a label's nodes.

    Attributes:
        n: number of sampled nodes.
        properties: names of their properties.
        texts: property that may be the key → whether some of its values are text.
    """

    n: int = 0
    properties: list[str] = field(default_factory=list[str])
    texts: dict[str, bool] = field(default_factory=dict[str, bool])

    def possible(self, label: str) -> list[str]:
        """Return the properties that may be the key; the likeliest comes first."""
        return sorted(self.texts, key=lambda name: (_key_rank(name, label), not self.texts[name], name))


def _sample_labels(connection: Connection, labels: dict[str, int]) -> dict[str, _Sample]:
    """Return label → a sample of its nodes, with one query for all labels.

    For few labels, the query has one part per label. For many labels, the server would take too long to plan so many
    parts. So the query scans all nodes once instead, and samples about the same number of nodes per label.

    Args:
        connection: connection to the database.
        labels: label → number of its nodes.
    """
    if not labels:
        return {}
    if len(labels) <= MOST_NAMES:
        parts = [
            f"MATCH (n:{quote(label)}) WITH n LIMIT {SAMPLED_NODES} RETURN {number} AS i, n"
            for number, label in enumerate(labels)
        ]
        nodes = f"CALL () {{ {' UNION ALL '.join(parts)} }} WITH $labels[i] AS label, n"
    else:
        nodes = "MATCH (n) UNWIND labels(n) AS label WITH label, n WHERE rand() < $shares[label]"
    rows = connection.rows(
        f"{nodes} UNWIND [null] + keys(n) AS name WITH label, name, n[name] AS value "
        "RETURN label, name, count(*) AS n, count(DISTINCT value) AS different, "
        "count(CASE WHEN value IS :: INTEGER NOT NULL THEN 1 WHEN value IS :: FLOAT NOT NULL AND "
        f"value = floor(value) AND abs(value) < {_EXACT!r} THEN 1 END) AS numbers, "
        "count(CASE WHEN value IS :: STRING NOT NULL THEN 1 END) AS texts ORDER BY name",
        labels=list(labels),
        shares={label: min(1.0, SAMPLED_NODES / n) for label, n in labels.items()},
    )
    samples = {label: _Sample() for label in labels}
    for row in rows:
        if row["name"] is None:
            samples[row["label"]].n = row["n"]
    for row in rows:
        sample, name = samples[row["label"]], row["name"]
        if name is None:
            continue
        sample.properties.append(name)
        whole = row["n"] == sample.n == row["different"] == row["numbers"] + row["texts"]
        if whole and quotable(name):
            sample.texts[name] = row["texts"] > 0
    return samples


def _few_enough(labels: dict[str, int]) -> list[str]:
    """Return the labels of which all nodes are checked, smallest label first.

    There is a limit on the number of nodes per label, and on the total.

    Args:
        labels: label → number of its nodes.
    """
    found, together = [], 0
    for label in sorted(labels, key=lambda label: labels[label]):
        together += labels[label]
        if labels[label] <= _MOST_CHECKED and together <= _MOST_TOGETHER:
            found.append(label)
    return found


def _unique_on_all(connection: Connection, names: dict[str, str]) -> list[str]:
    """Return the labels whose property is unique and present on all nodes, with one query.

    Args:
        connection: connection to the database.
        names: label → property.
    """
    if not names:
        return []
    kinds = ":" + "|".join(map(quote, sorted(names))) if len(names) <= MOST_NAMES else ""
    rows = connection.rows(
        f"MATCH (n{kinds}) UNWIND [label IN labels(n) WHERE label IN $labels] AS label "
        "WITH label, n[$names[label]] AS key RETURN label, count(*) AS n, count(key) AS present, "
        "count(DISTINCT key) AS different",
        labels=sorted(names),
        names=names,
    )
    return [row["label"] for row in rows if row["present"] == row["different"] == row["n"]]


def guess_title(values: dict[str, list[Any]], sampled: int, key: str | None) -> Guessed:
    """Return the text property that is most likely the title of a label's nodes. More than half of them must have it.

    Args:
        values: property → values of sampled nodes.
        sampled: number of sampled nodes.
        key: their key property, which is the title only if no other property fits.
    """
    filled = {
        name: sum(bool(value.strip()) for value in found)
        for name, found in values.items()
        if quotable(name) and title_rank(name) is not None and all(isinstance(value, str) for value in found)
    }
    ranked = sorted(filled, key=lambda name: (name == key, title_rank(name), name))
    for name in ranked:
        if filled[name] > sampled / 2:
            also = "; also the key" if name == key else ""
            return Guessed(
                name,
                f"text on {filled[name]:,} of {sampled:,} sampled nodes, and its name fits a title{also}. "
                "Lists show it, and DKN reads it",
            )
    seldom = "".join(f"; {name} is text on only {filled[name]:,} of {sampled:,} nodes" for name in ranked[:1])
    return Guessed(None, f"no text property of most nodes looks like a title{seldom}. Lists show the key")


def quotable(name: str) -> bool:
    """Return whether Cypher can write a property name in backticks."""
    return bool(name) and "\0" not in name


def _none(properties: list[str]) -> Guessed:
    found = ", ".join(sorted(properties)[:8]) or "none"
    return Guessed(None, f"no integer or text property is unique and on every node (properties: {found})")


def _key_rank(name: str, label: str) -> int:
    """Return how well a property's name fits a key, from 0 (best) to 4."""
    lower = name.lower()
    own = f"{label.lower().replace(' ', '')}id"
    if lower in KEY_NAMES[:3] or lower.replace("_", "") == own:
        return 0
    if lower in KEY_NAMES or words_of(name) & set(KEY_NAMES):
        return 1
    if lower.endswith("id"):
        return 2
    return 3 if title_rank(name) is not None else 4
