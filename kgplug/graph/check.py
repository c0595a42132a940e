"""Report what training would read from a graph, and the problems that block it: `kgplug check`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from kgplug.data.interactions import Interactions
from kgplug.errors import DataError, GraphError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.catalog import OWN_RELATIONSHIPS
from kgplug.graph.contents import Contents, label_keys, listed, read_contents
from kgplug.graph.ownership import count_own
from kgplug.graph.privileges import Purpose, missing_privileges
from kgplug.graph.provided import provided
from kgplug.graph.reading.bulk import BulkReader
from kgplug.graph.reading.feedback import Feedback, expected_rows, scan_kind
from kgplug.graph.reading.node_keys import key_problem, labels_with_problems
from kgplug.graph.reading.reader import (
    KeyedNodes,
    MergedKind,
    combined,
    merge_kinds,
    read_items,
    read_users,
    reading_bar,
    titled,
)
from kgplug.graph.reading.triples import TriplePlan, count_triples, empty_projection, plan_triples, touched_nodes
from kgplug.graph.schema import FeedbackSchema, GraphSchema
from kgplug.plain_text import counted

if TYPE_CHECKING:
    import pandas as pd

Level = Literal["ok", "warning", "error"]
_MOST_LABELS = 10  # maximum number of labels whose keys are reported as wrong


@dataclass(frozen=True)
class Finding:
    """One line of a check's report.

    Attributes:
        check: what was checked, such as "feedback".
        level: "error" if training is impossible; "warning" if results get worse, or if something else, such as
            publishing, is impossible; otherwise "ok".
        finding: what was found, in one or two sentences.
    """

    check: str
    level: Level
    finding: str


@dataclass(frozen=True)
class CheckReport:
    """The result of `check`.

    Attributes:
        uri: URI of the server.
        findings: one entry per line of the report, in the order of the checks.
    """

    uri: str
    findings: list[Finding] = field(default_factory=list[Finding])

    @property
    def ok(self) -> bool:
        """Whether training is possible: no finding is an error."""
        return all(finding.level != "error" for finding in self.findings)

    def __repr__(self) -> str:
        counts = {level: sum(one.level == level for one in self.findings) for level in ("error", "warning")}
        said = [f"  {one.level}: {one.check}: {one.finding}" for one in self.findings if counts.get(one.level)]
        summary = ", ".join(f"{n} {level}{'s' if n > 1 else ''}" for level, n in counts.items() if n) or "all ok"
        return "\n".join([f"Check of {self.uri}: {summary}", *said])

    def _repr_html_(self) -> str:
        return self.to_dataframe().to_html()

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per finding, with index `check` and columns `level` and `finding`."""
        import pandas as pd

        columns = ["check", "level", "finding"]
        rows = [[getattr(finding, column) for column in columns] for finding in self.findings]
        return pd.DataFrame(rows, columns=pd.Index(columns)).set_index("check")


def check(connection: Connection, schema: GraphSchema) -> CheckReport:
    """Check whether the graph has everything that training with this schema needs.

    Feedback, users and items are read by the same functions as in training.
    """
    contents, user, seen = read_contents(connection), schema.user, _Read(BulkReader(connection))
    parts: dict[str, Callable[[], Iterator[Finding]]] = {
        "server": lambda: _server(connection, seen.bulk),
        "privileges": lambda: _privileges(connection),
        "users": lambda: _users(connection, schema, contents, seen),
        "items": lambda: _items(connection, schema, contents, seen),
        "feedback": lambda: _feedback(connection, schema, contents, seen),
        "knowledge": lambda: _knowledge(connection, schema, contents, seen.bulk),
        "kgplug's own": lambda: _own(connection, contents),
    }
    if user.label not in contents.labels and schema.feedback_types.isdisjoint(contents.types):
        del parts["users"]
        parts["feedback"] = lambda: _nothing_but_knowledge(schema)
    findings: list[Finding] = []
    for name, part in parts.items():
        try:
            findings.extend(part())
        except DataError as error:
            findings.append(Finding(name, "error", str(error)))
    return CheckReport(connection.uri, findings)


def _server(connection: Connection, bulk: BulkReader) -> Iterator[Finding]:
    text = f'Neo4j {connection.server_version} {connection.edition}, database "{connection.database}"'
    yield Finding("server", "ok", text)
    yield from (Finding(*each) for each in provided(connection))
    if bulk.has_numbers:
        yield Finding("element ids", "ok", "contain numbers, so large graphs are read in steps; id() is not used")
    else:
        yield Finding("element ids", "ok", "contain no numbers, so a large graph is read in one stream, more slowly")


def _privileges(connection: Connection) -> Iterator[Finding]:
    """Report whether this account may train and publish."""
    purposes: tuple[tuple[Purpose, Level], ...] = (("read", "error"), ("publish", "warning"))
    for purpose, level in purposes:
        name = f"may {purpose}"
        try:
            missing = missing_privileges(connection, purpose)
        except GraphError as error:
            yield Finding(name, "warning", f"unknown: {error}")
            continue
        text = f"missing: {'; '.join(missing)} (docs/privileges.md)" if missing else "this account has every privilege"
        yield Finding(name, level if missing else "ok", text)


@dataclass
class _Read:
    """Users and items read by earlier checks and reused by the feedback check; None if they could not be read."""

    bulk: BulkReader
    users: KeyedNodes | None = None
    items: KeyedNodes | None = None


def _users(connection: Connection, schema: GraphSchema, contents: Contents, seen: _Read) -> Iterator[Finding]:
    seen.users = read_users(connection, schema, contents, seen.bulk)
    yield _keyed(contents, schema.user.label, schema.user.key, "users")


def _items(connection: Connection, schema: GraphSchema, contents: Contents, seen: _Read) -> Iterator[Finding]:
    item = schema.item
    seen.items = read_items(connection, schema, contents, seen.bulk)
    yield _keyed(contents, item.label, item.key, "items")
    if not item.title:
        yield Finding("items", "ok", "no [item] title is set: lists show the key, and DKN has no text to read")
        return
    seen.items = titled(connection, schema, seen.items)
    texts, total = seen.items.texts, len(seen.items.keys)
    n = 0 if texts is None else sum(map(bool, texts))
    yield Finding(
        "items", "ok" if n == total else "warning", f"{n:,} of {total:,} :{item.label} {_have(n)} a {item.title!r}"
    )


def _keyed(contents: Contents, label: str, key: str, what: str) -> Finding:
    """Return the finding for a label whose keys are valid; it is a warning if no constraint keeps the keys unique.

    `what` is the entry for `Finding.check`: "users" or "items".
    """
    constrained = key in contents.unique.get(label, [])
    note = "" if constrained else "; no constraint keeps it unique, and lookups without an index are slow"
    return Finding(what, "ok" if constrained else "warning", f"{contents.labels[label]:,} :{label} by {key}{note}")


def _nothing_but_knowledge(schema: GraphSchema) -> Iterator[Finding]:
    """Report that a graph without users and feedback allows embeddings only."""
    types = " or ".join(f":{name}" for name in sorted(schema.feedback_types)) or "matching"
    text = (
        f"No :{schema.user.label} nodes and no {types} relationships: embeddings can be trained, recommenders cannot."
    )
    yield Finding("feedback", "warning", text)


def _feedback(connection: Connection, schema: GraphSchema, contents: Contents, seen: _Read) -> Iterator[Finding]:
    ids = None if seen.users is None else seen.users.nodes.ids
    if ids is None and (user := schema.user).label in contents.labels:
        ids = seen.bulk.label(user.label, user.key, contents.labels[user.label]).ids
    found, failed = list[Feedback](), False
    with reading_bar("Checking feedback", expected_rows(schema, contents), None) as advance:
        for kind in schema.feedback:
            try:
                one = scan_kind(
                    connection, schema, kind, contents, seen.bulk, np.empty(0) if ids is None else ids, advance=advance
                )
            except DataError as error:
                failed = True
                yield Finding("feedback", "error", str(error))
                continue
            for problem in one.problems:
                yield Finding("feedback", "error", str(problem))
            if one.problems or seen.users is None or seen.items is None:
                failed = True
                yield Finding("feedback", "ok", _counted(schema, kind, len(one.users)))
            found.append(one)
    if failed or seen.users is None or seen.items is None:
        return
    kinds = merge_kinds(schema, found, seen.users, seen.items)
    rows = combined(kinds)
    for one in kinds:
        yield from _rows_of_kind(schema, one)
        yield from (Finding("feedback", "warning", note) for note in one.report.unused)
        if (times := one.feedback.times) is not None:
            of = f" ({one.feedback.kind.known_as})" if len(kinds) > 1 else ""
            text = f"{one.feedback.kind.timestamp!r}{of} holds {one.feedback.time_kinds}, from {times.range()}"
            yield Finding("feedback", "ok", text)
    likes = int(np.count_nonzero(rows.is_like))
    if len(kinds) > 1:
        text = f"together: {counted(len(rows), 'user-item pair')}, {_likes(rows, dislikes=True)}{_weights(rows)}"
        yield Finding("feedback", "ok" if likes else "error", text)
    for label, known, used in (
        (schema.user.label, rows.n_users, rows.users),
        (schema.item.label, rows.n_items, rows.items),
    ):
        if idle := known - len(np.unique(used)):
            yield Finding("feedback", "warning", f"{idle:,} of {known:,} :{label} {_have(idle)} no feedback")


def _rows_of_kind(schema: GraphSchema, merged: MergedKind) -> Iterator[Finding]:
    """Report how many user-item pairs one kind of feedback connects, and how many of these pairs are likes."""
    kind, rows, report = merged.feedback.kind, merged.rows, merged.report
    likes, n = int(np.count_nonzero(rows.is_like)), len(merged.feedback.users)
    name = kind.rating or ("their count" if rows.ratings_are_counts else "")
    scale = "" if rows.like_threshold is None else f" ({name} >= {rows.like_threshold:g})"
    pairs = ""
    if report.repeated:
        most = 1 if rows.counts is None else int(rows.counts.max())
        pairs = f" between {counted(len(rows), 'user-item pair')} (up to {most:,} per pair{_merging(kind, rows)})"
    of = ""
    if not kind.is_plain or len(schema.feedback) > 1:
        users, items = (f"{len(np.unique(each)):,}" for each in (rows.users, rows.items))
        of = f" of {users} :{schema.user.label} on {items} :{schema.item.label}"
    text = f"{_counted(schema, kind, n)}{pairs}{of}, {_likes(rows, dislikes=bool(of))}{scale}{_weights(rows)}"
    yield Finding("feedback", "ok" if likes or len(schema.feedback) > 1 else "error", text)
    if report.itself:
        are = "is" if report.itself == 1 else "are"
        what = f":{kind.type}" if kind.type else f"{'match' if report.itself == 1 else 'matches'}"
        yield Finding("feedback", "warning", f"{report.itself:,} {what} from a node to itself {are} left out")


def _counted(schema: GraphSchema, kind: FeedbackSchema, n: int) -> str:
    """Return the number of a kind's relationships or matches, in a graph with several kinds after the kind's name."""
    name = f"{kind.known_as}: " if len(schema.feedback) > 1 and kind.name else ""
    where = f" where {kind.where}" if kind.where else ""
    what = f"{n:,} :{kind.type}" if kind.type else f"{counted(n, 'match', plural='matches')} of {kind.pattern}"
    return f"{name}{what}{where}"


def _merging(kind: FeedbackSchema, rows: Interactions) -> str:
    """Return how the rows of a pair become one rating; "" if there are no ratings."""
    if rows.ratings is None:
        return ""
    of = {
        "sum": "the sum of their ratings",
        "mean": "the mean of their ratings",
        "max": "the highest of their ratings",
        "decay": "the mean of their ratings, in which old ones count less",
    }
    kept = "their number" if rows.ratings_are_counts else of.get(kind.repeated or "last", "that of the latest one")
    return f"; the rating is {kept}"


def _likes(rows: Interactions, *, dislikes: bool) -> str:
    """Return how many rows are likes and, with `dislikes`, how many are dislikes, if there are any."""
    likes = int(np.count_nonzero(rows.is_like))
    text = f"{likes:,} of them {'a like' if likes == 1 else 'likes'}"
    others = len(rows) - likes
    return f"{text} and {others:,} {'a dislike' if others == 1 else 'dislikes'}" if dislikes and others else text


def _weights(rows: Interactions) -> str:
    return "" if rows.weights is None else f", weights from {rows.weights.min():g} to {rows.weights.max():g}"


def _knowledge(connection: Connection, schema: GraphSchema, contents: Contents, bulk: BulkReader) -> Iterator[Finding]:
    plan = plan_triples(connection, schema, contents)
    counts = count_triples(connection, plan)
    total = sum(counts.values())
    if total == 0:
        raise empty_projection(schema, contents, plan)
    for name, n in counts.items():
        yield Finding("knowledge", "ok" if n else "warning", f"{n:,} :{name}")
    for note in plan.unused:
        yield Finding("knowledge", "warning", note)
    for note in plan.left_out(schema):
        yield Finding("knowledge", "ok", note)
    touched = touched_nodes(connection, plan)
    linked = sum(n for labels, n in touched.items() if schema.item.label in labels)
    n_items = contents.labels.get(schema.item.label, 0)
    level = "ok" if linked == n_items else "warning"
    text = f"{linked:,} of {n_items:,} :{schema.item.label} {_have(linked)} triples"
    yield Finding("knowledge", level if linked else "error", f"{counted(total, 'triple')}; {text}")
    yield from _entity_keys(connection, schema, contents, plan, touched, bulk)


def _entity_keys(
    connection: Connection,
    schema: GraphSchema,
    contents: Contents,
    plan: TriplePlan,
    touched: dict[tuple[str, ...], int],
    bulk: BulkReader,
) -> Iterator[Finding]:
    """Check the keys of the nodes in triples, label by label.

    `touched`, from `touched_nodes`, maps each sorted tuple of labels to the number of nodes in triples that have
    exactly these labels.
    """
    keys = {label: key for label, key in label_keys(schema, contents.unique).items() if label in contents.labels}
    entities, without = Counter[str](), Counter[str]()
    for labels, n in touched.items():
        goes_by = next((label for label in keys if label in labels), None)
        if goes_by is None:
            without.update({labels[0] if labels else "": n})
        else:
            entities[goes_by] += n
    for label, n in without.most_common(_MOST_LABELS):
        nodes = f":{label}" if label else "nodes without a label"
        text = f"{n:,} {nodes} among the triples {_have(n)} no key. Name a unique property under [knowledge.keys]."
        yield Finding("knowledge", "error", text)
    key_of = {label: keys[label] for label in keys if entities[label] and label != schema.item.label}
    wrong = labels_with_problems(connection, key_of, contents) if key_of else []
    for label in wrong[:_MOST_LABELS]:
        setting = f"[knowledge.keys] {label}"
        problem = key_problem(connection, bulk, label, keys[label], contents.labels[label], setting=setting)
        if problem is not None:
            yield Finding("knowledge", "error", str(problem))
    known = {*entities, *(one.label for one in plan.owned)}
    for label in schema.knowledge.keys:
        if label in contents.labels and label not in known:
            text = f"[knowledge.keys] has {label}, but no entity is identified by that label."
            yield Finding("knowledge", "warning", text)
    yield Finding(
        "knowledge", "ok", f"entities: {listed([f':{label} by {keys[label]}' for label in keys if entities[label]])}"
    )


def _have(n: int) -> str:
    return "has" if n == 1 else "have"


def _own(connection: Connection, contents: Contents) -> Iterator[Finding]:
    nodes = contents.own
    edges = {name: n for name in OWN_RELATIONSHIPS if (n := count_own(connection, name))}
    if not edges and not any(nodes.values()):
        yield Finding("kgplug's own", "ok", "nothing is published yet")
        return
    text = ", ".join(f"{n:,} :{name}" for name, n in {**edges, **nodes}.items() if n)
    yield Finding("kgplug's own", "ok", f"{text}; never used for training")
