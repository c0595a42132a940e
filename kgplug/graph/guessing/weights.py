"""Guess the weights of feedback: counts on its relationships, such as play counts, and strengths of several kinds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kgplug.graph.bolt.connection import Connection
from kgplug.graph.guessing.paths import Path
from kgplug.graph.guessing.profiles import Holder
from kgplug.graph.guessing.words import COUNT_WORDS, STRONG_WORDS, WEAK_WORDS, mentions
from kgplug.graph.queries import quote

_NOT_WEIGHTS = frozenset({"number", "amount"})  # a loan's number, an amount of money
_FAR = 50  # if the highest count is this many times the median, the logarithm of the counts is used
_WEAK, _MIDDLE, _STRONG = 1, 3, 5  # strengths of a view, of other kinds, of a purchase
_RARE, _VERY_RARE = 3, 10  # a kind of which there are so many times fewer than of the most frequent kind


@dataclass(frozen=True)
class Weight:
    """A guessed weight.

    Attributes:
        name: the property; None if none fits.
        why: the reason.
        logarithm: whether the logarithm of the values is the weight, because a few values are far above the others.
    """

    name: str | None
    why: str = ""
    logarithm: bool = False


def guess_weight(connection: Connection, holder: Holder, *, rows: int) -> Weight:
    """Return the guessed weight: a count that every relationship has, such as a play count or a quantity.

    At most `rows` relationships are checked.
    """
    for name in sorted(holder.properties):
        values = holder.properties[name]
        numeric = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
        if not mentions(name, COUNT_WORDS - _NOT_WEIGHTS) or not numeric or len(values) < holder.n_sampled:
            continue
        (row,) = connection.rows(
            f"MATCH {holder.pattern} WITH r LIMIT $rows WITH r.{quote(name)} AS value RETURN count(*) AS n, "
            "count(CASE WHEN value > 0 AND value < 1e300 THEN 1 END) AS positive, min(value) AS least, "
            "max(value) AS most, percentileDisc(toFloatOrNull(value), 0.5) AS median",
            rows=rows,
        )
        if row["n"] != row["positive"] or row["least"] == row["most"]:
            continue
        span = f"{name} runs from {row['least']:g} to {row['most']:g} (median {row['median']:g})"
        if row["most"] > _FAR * row["median"]:
            return Weight(name, f"{span}. A few values are very high, so the weight is their logarithm", True)
        return Weight(name, f"{span}: a higher count is a stronger sign")
    return Weight(None)


def guess_strengths(paths: Sequence[Path]) -> list[tuple[float, str]]:
    """Return a strength and its reason for each of several kinds of feedback between the same users and items.

    The words of a kind decide: a purchase counts more than a view. Without such words, a rare kind counts more than a
    frequent one. The weakest kind gets strength 1.
    """
    most = max(path.n for path in paths)
    levels = [_level(path, most / path.n) for path in paths]
    least = min(level for level, _ in levels)
    if all(level == least for level, _ in levels):
        return [(1.0, "nothing says that it is a stronger or a weaker sign than the others") for _ in levels]
    return [(float(round(level / least)), why) for level, why in levels]


def _level(path: Path, times_rarer: float) -> tuple[int, str]:
    names = [*path.types, *path.between]
    rarer = f", and {times_rarer:.0f} times as rare as the most frequent kind" if times_rarer >= _RARE else ""
    strong = next((name for name in names if mentions(name, STRONG_WORDS)), None)
    if strong is not None:
        return _STRONG, f"{strong} is a strong sign{rarer}"
    weak = next((name for name in names if mentions(name, WEAK_WORDS)), None)
    if weak is not None:
        return _WEAK, f"{weak} is a weak sign"
    if times_rarer >= _VERY_RARE:
        return _STRONG, f"{times_rarer:.0f} times as rare as the most frequent kind, so a strong sign"
    return _MIDDLE, f"neither a weak nor a strong sign{rarer}"
