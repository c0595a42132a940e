"""Guess the meaning of a database's labels, types and properties: `kgplug init`.

The guess uses counts, constraints, names and samples. To limit the cost on a large graph, only labels with up to half a
million nodes are checked completely for a unique key.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from kgplug.data.sources.catalogue import DEMO
from kgplug.errors import DataError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.contents import Contents, read_contents
from kgplug.graph.guessing.feedback import Candidate, find_feedback, near_misses
from kgplug.graph.guessing.keys import Guessed, guess_keys, guess_title
from kgplug.graph.guessing.knowledge import guess_knowledge
from kgplug.graph.guessing.profiles import TypeProfile, profile_types
from kgplug.graph.guessing.toml import comment, entry
from kgplug.graph.guessing.values import guess_rating, guess_timestamp
from kgplug.graph.schema import FeedbackSchema, GraphSchema, ItemSchema, KnowledgeSchema, UserSchema
from kgplug.plain_text import counted

_MOST_OTHERS = 6  # maximum number of feedback candidates; the first is used, the others are listed in comments


@dataclass(frozen=True)
class _Part:
    """A section of kgplug.toml: its part of the schema, and its lines of text."""

    schema: UserSchema | ItemSchema | FeedbackSchema | KnowledgeSchema
    lines: list[str]


def guess_schema(connection: Connection) -> tuple[GraphSchema, str]:
    """Guess the schema of a graph.

    Returns:
        The schema, and the same schema as TOML text, with the reason for every guess as a comment. If no feedback was
        found, the text says so. Embeddings can still be trained on such a graph.

    Raises:
        DataError: the database has no relationships between labelled nodes.
    """
    contents = read_contents(connection)
    profiles = profile_types(connection, contents)
    if not profiles:
        raise DataError(
            f'Nothing to guess from: database "{contents.database}" has {sum(contents.types.values())} relationships '
            f"between labelled nodes. Import a graph first, e.g. `kgplug import {DEMO.name}`."
        )
    candidates = find_feedback(connection, profiles)
    feedback = candidates[0] if candidates else None
    item = _hub(profiles) if feedback is None else feedback.item
    keys = guess_keys(connection, contents)
    parts = {
        "user": _user_part(contents, feedback, keys),
        "item": _item_part(connection, contents, feedback, item, keys),
        "feedback": _feedback_part(connection, candidates, profiles),
    }
    known = GraphSchema.model_validate({name: part.schema for name, part in parts.items()})
    if feedback is None:  # the default labels of users and items may not be in the database
        known = known.model_copy(update={"user": UserSchema(label=item, key=known.item.key)})
    parts["knowledge"] = _Part(*guess_knowledge(connection, contents, known, profiles, keys))
    n = sum(contents.types.values())
    lines = comment(
        f'Written by `kgplug init` from database "{contents.database}": {counted(n, "relationship")} of '
        f"{counted(len(contents.types), 'type')}, {counted(len(contents.labels), 'label')}. Correct what is wrong, "
        "then run `kgplug check`."
    )
    for name, part in parts.items():
        lines += ["", f"[{name}]", *part.lines] if name != "knowledge" else ["", *part.lines]
    schema = GraphSchema.model_validate({name: part.schema for name, part in parts.items()})
    return schema, "\n".join(lines) + "\n"


def _user_part(contents: Contents, feedback: Candidate | None, keys: dict[str, Guessed]) -> _Part:
    if feedback is None:
        return _Part(
            UserSchema(), comment("No users found; see [feedback]. Set label and key when the graph has users.")
        )
    label = feedback.user
    key, key_line = _key_of(label, keys)
    starts = "starts" if feedback.direction == "user_to_item" else "ends"
    lines = entry("label", label, f"{counted(contents.labels[label], 'node')}; :{feedback.profile.name} {starts} there")
    return _Part(UserSchema(label=label, key=key), lines + key_line)


def _item_part(
    connection: Connection, contents: Contents, feedback: Candidate | None, label: str, keys: dict[str, Guessed]
) -> _Part:
    where = "the label with the most relationships"
    if feedback is not None:
        where = f":{feedback.profile.name} {'ends' if feedback.direction == 'user_to_item' else 'starts'} there"
        where += "; users and items are the same" if feedback.among_one_label else ""
    key, key_line = _key_of(label, keys)
    title = guess_title(connection, label, key, contents.labels[label])
    lines = entry("label", label, f"{counted(contents.labels[label], 'node')}; {where}") + key_line
    lines += entry("title", title.value, title.why)
    return _Part(ItemSchema(label=label, key=key, title=title.value), lines)


def _key_of(label: str, keys: dict[str, Guessed]) -> tuple[str, list[str]]:
    """Return the key of a label, and its TOML lines. If none was found, return "id" with a request to change it."""
    guessed = keys.get(label, Guessed(None, "not looked for"))
    if guessed.value is not None:
        return guessed.value, entry("key", guessed.value, guessed.why)
    return "id", entry("key", "id", f"CHANGE THIS: {guessed.why}. Add a unique property to the nodes and name it here")


def _feedback_part(connection: Connection, candidates: list[Candidate], profiles: list[TypeProfile]) -> _Part:
    if not candidates:
        return _Part(FeedbackSchema(), _no_feedback(profiles))
    best, profile = candidates[0], candidates[0].profile
    rating = guess_rating(connection, profile)
    timestamp, timestamp_why = guess_timestamp(connection, profile)
    found = f"{counted(profile.n, 'relationship')}, {profile}; {'; '.join(best.reasons)}"
    lines = entry("type", profile.name, found)
    if best.direction == "item_to_user":
        lines += entry(
            "direction", best.direction, f"{profile}: the :{best.user} is at its end and acts on the :{best.item}"
        )
    if rating.name is None:
        lines += entry("rating", None, rating.why)
    else:
        lines += entry("rating", rating.name, rating.why)
        lines += entry("like_threshold", rating.like_threshold, "the lowest rating that counts as a like")
    lines += entry("timestamp", timestamp, timestamp_why)
    for other in candidates[1:_MOST_OTHERS]:
        turned = ', direction = "item_to_user"' if other.direction == "item_to_user" else ""
        lines += comment(
            f"Perhaps also feedback: {other.profile}, {counted(other.profile.n, 'relationship')}. "
            f'To use it instead: [user] label = "{other.user}", [item] label = "{other.item}", '
            f'type = "{other.profile.name}"{turned}.'
        )
    part = FeedbackSchema(
        type=profile.name,
        direction=best.direction,
        rating=rating.name,
        timestamp=timestamp,
        like_threshold=rating.like_threshold,
    )
    return _Part(part, lines)


def _no_feedback(profiles: list[TypeProfile]) -> list[str]:
    seen = ", ".join(str(one) for one in profiles[:8])
    lines = comment(
        f"No feedback found: no type looks like users acting on items (types: {seen}). Embeddings do not need it. "
        "Recommenders need type and, if the graph has them, rating, like_threshold and timestamp."
    )
    for sentence in near_misses(profiles):
        lines += comment(f"Note: {sentence}")
    return lines


def _hub(profiles: list[TypeProfile]) -> str:
    """Return the label whose nodes have the most relationships. It becomes the item label if no feedback was found."""
    touched: Counter[str] = Counter()
    for one in profiles:
        for label in {one.heads, one.tails} - {None}:
            touched[str(label)] += one.n
    if touched:
        return max(sorted(touched), key=lambda label: touched[label])
    return profiles[0].head_labels[0][0]
