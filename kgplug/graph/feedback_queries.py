"""Insert feedback that is more than one relationship type into the shipped queries.

The queries use feedback in four forms, written for the demo graph:

    MATCH (user:`User`)-[rated:`RATED`]->(x:`Movie`)     the items that the user with the key $user likes; the next two
                                                         lines are WHERE user.`id` = $user and the like threshold
    EXISTS { (user)-[:`RATED`]->(item) }                 feedback of a user on an item or, with (:`Movie`), on any
    COUNT { (item)<-[:`RATED`]-() }                      number of users with feedback on an item
    NOT x:`RATED`                                        a relationship that is not feedback

For a schema with several kinds of feedback or with Cypher, each becomes Cypher for all of its kinds.
"""

from __future__ import annotations

import re

from kgplug.graph.feedback_match import as_part, has_feedback, is_feedback, is_like, match_of
from kgplug.graph.schema import GraphSchema

_LIKES = re.compile(
    r"MATCH \(user:`User`\)-\[rated:`RATED`\]->\((?P<item>\w+):`Movie`\)\n(?P<known>WHERE user\.`id` = \$user)\n"
    r" *AND \(\$like_threshold .*\n"
)
_EXISTS = re.compile(r"EXISTS \{ \((?P<user>\w+)\)-\[:`RATED`\]->\((?:(?P<item>\w+)|:`Movie`)\) \}")
_COUNT = re.compile(r"COUNT \{ \((?P<item>\w+)\)<-\[:`RATED`\]-\(\) \}")
_NOT = re.compile(r"\bNOT (?P<relationship>\w+):`RATED`")


INSERTED = re.compile(r"\0(\d+)\0")
"""The place of an inserted text: its number between two null characters."""


def with_feedback(text: str, schema: GraphSchema) -> tuple[str, list[str]]:
    """Return the text of a shipped query with places for the feedback of a schema, and the texts to insert there.

    Other names stay those of the demo graph. The texts are inserted after these have been replaced, because names in a
    user's Cypher must not be replaced.
    """
    inserted = list[str]()

    def place(cypher: str) -> str:
        inserted.append(cypher)
        return f"\0{len(inserted) - 1}\0"

    def likes(found: re.Match[str]) -> str:
        return f"MATCH (user:`User`)\n{found['known']}\n{place(_liked(schema, found['item']))}\n"

    def exists(found: re.Match[str]) -> str:
        return place(has_feedback(schema, found["user"], found["item"] or "kgplug_item"))

    text = _COUNT.sub(
        lambda found: place(_users_of(schema, found["item"])), _EXISTS.sub(exists, _LIKES.sub(likes, text))
    )
    return _NOT.sub(lambda found: f"NOT {place(is_feedback(schema, found['relationship']))}", text), inserted


def _liked(schema: GraphSchema, item: str) -> str:
    """Return a clause with one row per item that `user` likes; `item` is the variable of the item."""
    found = (
        as_part(kind, f"{match_of(schema, kind, also=is_like(kind))} RETURN DISTINCT item") for kind in schema.feedback
    )
    return f"UNWIND COLLECT {{ {' UNION '.join(found)} }} AS {item}"


def _users_of(schema: GraphSchema, item: str) -> str:
    """Return an expression for the number of users with feedback on an item."""
    found = (
        as_part(kind, f"{match_of(schema, kind)} RETURN DISTINCT user", user="kgplug_user", item=item)
        for kind in schema.feedback
    )
    return f"COUNT {{ {' UNION '.join(found)} }}"
