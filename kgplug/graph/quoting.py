"""Write names and texts into Cypher, and read ratings with it."""

from __future__ import annotations

from kgplug.errors import UsageError
from kgplug.graph.feedback_schema import FeedbackSchema

NOT_A_NUMBER = "0.0 / 0.0"
LARGEST_RATING = 3.4028234663852886e38  # the largest float32


def quote(identifier: str) -> str:
    """Return a label, type or property name as a backticked Cypher identifier.

    Cypher decodes \\uXXXX before it looks for backticks, so a backslash is written as \\u005C.

    Raises:
        UsageError: the name is empty or has a null character. A database has no such names.
    """
    if not identifier or "\0" in identifier:
        raise UsageError(
            f"{identifier!r} cannot be a label, type or property name: expected text without null characters."
        )
    return "`" + identifier.replace("\\", "\\u005C").replace("`", "``") + "`"


def quote_text(text: str) -> str:
    """Return text as a quoted Cypher string."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def feedback_arrow(kind: FeedbackSchema, variable: str = "") -> str:
    """Return the arrow of a type of feedback from user to item in a Cypher pattern: -[r:TYPE]-> or <-[r:TYPE]-.

    `variable` is the Cypher variable of the relationship, here r; "" for none.
    """
    between = f"-[{variable}:{quote(kind.type)}]-"
    return f"{between}>" if kind.direction == "user_to_item" else f"<{between}"


def rating_of(value: str) -> str:
    """Return the Cypher expression that reads a rating: the number, 1 for true, 0 for false, otherwise NaN.

    `value` is the Cypher expression of the stored value. Numbers and booleans written as text are accepted. Numbers
    that float32 cannot hold become NaN.
    """
    number = f"coalesce(toFloatOrNull({value}), toFloatOrNull(toIntegerOrNull(toBooleanOrNull({value}))))"
    return f"CASE WHEN abs({number}) <= {LARGEST_RATING!r} THEN {number} ELSE {NOT_A_NUMBER} END"
