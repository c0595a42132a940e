"""Read the feedback of a schema, kind by kind, with ratings, weights and timestamps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from kgplug.data.values.times import Times
from kgplug.errors import DataError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.contents import Contents, require_label, require_type
from kgplug.graph.feedback_match import expression_of, match_of
from kgplug.graph.ownership import count_own, not_own
from kgplug.graph.queries import quote
from kgplug.graph.reading.bulk import BulkReader
from kgplug.graph.reading.feedback_edges import edges_elsewhere, no_edges, wanted_edges
from kgplug.graph.reading.feedback_matches import no_matches, read_matches
from kgplug.graph.reading.feedback_values import Values, unusable_values
from kgplug.graph.reading.ratings import are_booleans, marked_rating_of, read_ratings, weight_of
from kgplug.graph.reading.times import kinds_of, read_times, time_parts_of
from kgplug.graph.schema import FeedbackSchema, GraphSchema

_LEAST_WEIGHT = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, eq=False)
class Feedback:
    """The feedback of one kind as read: n relationships or, if Cypher describes the kind, n matches of it.

    Attributes:
        kind: the kind in the schema.
        users, items: int64 (n,), internal ids of the user node and the item node.
        ratings: float32 (n,), NaN where unusable; None if the schema names no rating.
        weights: float32 (n,), NaN where unusable; None if the schema names no weight.
        times: timestamps; None if the schema names no timestamp or a value is unusable.
        own: number of relationships of the kind's type that are left out because kgplug wrote them.
        time_kinds: how many timestamps are dates or numbers, and in which unit, such as "1,000 numbers of seconds".
        numbers: whether some timestamps are numbers.
        booleans: whether some ratings are booleans.
        elsewhere: a sentence on relationships of the kind's type that do not lead from users to items; "" if there are
            none.
        problems: one error for each property or expression with unusable values.
    """

    kind: FeedbackSchema
    users: np.ndarray
    items: np.ndarray
    ratings: np.ndarray | None = None
    weights: np.ndarray | None = None
    times: Times | None = None
    own: int = 0
    time_kinds: str = ""
    numbers: bool = False
    booleans: bool = False
    elsewhere: str = ""
    problems: list[DataError] = field(default_factory=list[DataError])


def read_feedback(
    connection: Connection,
    schema: GraphSchema,
    contents: Contents,
    bulk: BulkReader,
    users: np.ndarray,
    *,
    advance: Callable[[int], object] = int,
) -> list[Feedback]:
    """Read all feedback of a schema.

    Args:
        connection: connection to the database.
        schema: schema of the graph.
        contents: contents of the database.
        bulk: reader for the database.
        users: int64 (n_users,), ids of all users, from `bulk`.
        advance: called with the number of rows read, for a progress bar.

    Returns:
        One entry per kind, in the schema's order.

    Raises:
        DataError: an unknown label, type or property, an unusable rating, weight or timestamp, no feedback of a kind,
            or Cypher that is invalid, fails or takes too long.
    """
    found = list[Feedback]()
    for kind in schema.feedback:
        found.append(scan_kind(connection, schema, kind, contents, bulk, users, advance=advance))
        if found[-1].problems:
            raise found[-1].problems[0]
    return found


def scan_kind(
    connection: Connection,
    schema: GraphSchema,
    kind: FeedbackSchema,
    contents: Contents,
    bulk: BulkReader,
    users: np.ndarray,
    *,
    advance: Callable[[int], object] = int,
) -> Feedback:
    """Read one kind as `read_feedback` does, but return errors on unusable values in `Feedback.problems`.

    Raises:
        DataError: an unknown label or type, no feedback, or Cypher that is invalid, fails or takes too long.
    """
    require_label(contents, schema.user.label, setting="[user] label")
    require_label(contents, schema.item.label, setting="[item] label")
    if kind.type:
        require_type(contents, kind.type, setting=f"{schema.table_of(kind)} type")
    if kind.is_plain and not schema.has_conditions:
        return _scan_edges(connection, schema, kind, contents, bulk, advance)
    return _scan_matches(connection, schema, kind, contents, bulk, users, advance)


def expected_rows(schema: GraphSchema, contents: Contents) -> int:
    """Return about how many rows the feedback has: of a pattern, as many as its most frequent type."""
    types = (kind.names.types for kind in schema.feedback)
    return sum(max((contents.types.get(name, 0) for name in names), default=0) for names in types)


def like_threshold(feedback: Feedback) -> float | None:
    """Return the lowest rating that counts as a like; None if all feedback of the kind counts as a like.

    It is the `like_threshold` of the schema. If the schema has none, it is 1 for boolean ratings. Without ratings, the
    threshold is used only if the number of rows counts as the rating (`repeated = "count"`).
    """
    kind, ratings = feedback.kind, feedback.ratings
    if ratings is None:
        return kind.like_threshold if kind.repeated == "count" else None
    if kind.like_threshold is None and feedback.booleans and np.isin(ratings, (0, 1)).all():
        return 1.0
    return kind.like_threshold


def unused_settings(schema: GraphSchema, feedback: Feedback) -> Iterator[str]:
    """Yield sentences on settings of a kind that have no effect, and on relationships that are not read."""
    kind, table = feedback.kind, schema.table_of(feedback.kind)
    if feedback.elsewhere:
        yield feedback.elsewhere
    if kind.like_threshold is not None and kind.rating is None and kind.repeated != "count":
        yield (
            f"{table} like_threshold is {kind.like_threshold:g}, but no rating is set, so every relationship is a "
            'like. Set rating, or repeated = "count" to compare the number of relationships.'
        )
    if kind.rating is not None and kind.repeated == "count":
        yield f"{table} rating is {kind.rating!r}, but repeated is 'count': the number of relationships is the rating."
    if kind.time_unit is not None and kind.timestamp is None:
        yield f"{table} time_unit is {kind.time_unit!r}, but no timestamp is set."
    elif kind.time_unit is not None and feedback.times is not None and not feedback.numbers:
        yield f"{table} time_unit is {kind.time_unit!r}, but {kind.timestamp!r} holds dates, not numbers."


def _scan_edges(
    connection: Connection,
    schema: GraphSchema,
    kind: FeedbackSchema,
    contents: Contents,
    bulk: BulkReader,
    advance: Callable[[int], object],
) -> Feedback:
    names = {name: f"r.{quote(value)}" for name in _READ if (value := getattr(kind, name))}
    expressions = [expression for name, value in names.items() for expression in _READ[name](value)]
    wanted, own = wanted_edges(connection, schema, kind, contents, tuple(expressions))
    edges = bulk.edges(wanted, advance)
    if len(edges.heads) == 0:
        raise no_edges(connection, schema, kind)
    ends = (edges.heads, edges.tails) if kind.direction == "user_to_item" else (edges.tails, edges.heads)
    elsewhere = edges_elsewhere(connection, schema, kind, contents.types[kind.type] - own - len(edges.heads))
    return _decoded(connection, schema, kind, ends, edges.values, own, elsewhere)


def _scan_matches(
    connection: Connection,
    schema: GraphSchema,
    kind: FeedbackSchema,
    contents: Contents,
    bulk: BulkReader,
    users: np.ndarray,
    advance: Callable[[int], object],
) -> Feedback:
    own = count_own(connection, kind.type) if kind.type else 0
    match = match_of(schema, kind, also=not_own(connection, kind.type, "rated") if own else "")
    given = {f"kgplug_{name}": expression for name in _READ if (expression := expression_of(kind, name))}
    values = [expression for name in given for expression in _READ[name.removeprefix("kgplug_")](name)]
    table = read_matches(
        connection, bulk, match, given=given, values=values, users=users, table=schema.table_of(kind), advance=advance
    )
    if len(table) == 0:
        raise no_matches(connection, schema, kind, contents)
    ends = np.ascontiguousarray(table[:, :2].T, dtype=np.int64)
    return _decoded(connection, schema, kind, (ends[0], ends[1]), table[:, 2:].astype(np.float64), own)


_READ: dict[str, Callable[[str], tuple[str, ...]]] = {
    "rating": lambda value: (marked_rating_of(value),),
    "weight": lambda value: (weight_of(value),),
    "timestamp": time_parts_of,
}
"""Setting → function that takes the Cypher expression of a value and returns those of the numbers to read for it."""


def _decoded(
    connection: Connection,
    schema: GraphSchema,
    kind: FeedbackSchema,
    ends: tuple[np.ndarray, np.ndarray],
    table: np.ndarray,
    own: int,
    elsewhere: str = "",
) -> Feedback:
    """Return feedback from what was read.

    Args:
        connection: connection to the database.
        schema: schema of the graph.
        kind: the kind that was read.
        ends: int64 (n,) each, ids of the users and of the items.
        table: float64 (n, m), a column for each expression of `_READ`.
        own, elsewhere: as in `Feedback`.
    """
    columns, problems = iter(table.T), list[DataError]()
    ratings = weights = times = None
    time_kinds, numbers, booleans = "", False, False

    def check(setting: str, values: np.ndarray, *, mixed: bool = False) -> bool:
        problem = unusable_values(connection, schema, kind, Values(setting, values, mixed))
        problems.extend([problem] if problem else [])
        return problem is None

    if kind.rating:
        marked = next(columns)
        ratings, mixed = read_ratings(marked)
        booleans = are_booleans(marked)
        check("rating", ratings, mixed=mixed)
    if kind.weight:
        weights = np.maximum(next(columns), _LEAST_WEIGHT).astype(np.float32)
        check("weight", weights)
    if kind.timestamp:
        first, second = next(columns), next(columns)
        if check("timestamp", first):
            try:
                times = read_times(first, second, name=kind.timestamp, unit=kind.time_unit)
                time_kinds, numbers = kinds_of(first, second, unit=kind.time_unit), bool((second < 0).any())
            except DataError as error:
                problems.append(error)
    return Feedback(
        kind,
        *ends,
        None if ratings is None else ratings.astype(np.float32),
        weights,
        times,
        own,
        time_kinds,
        numbers,
        booleans,
        elsewhere,
        problems,
    )
