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
from kgplug.graph.reading.feedback import scan_feedback
from kgplug.graph.reading.node_keys import key_problem, labels_with_problems
from kgplug.graph.reading.reader import KeyedNodes, ReadReport, assemble, read_items, read_users, reading_bar, titled
from kgplug.graph.reading.triples import TriplePlan, count_triples, empty_projection, plan_triples, touched_nodes
from kgplug.graph.schema import GraphSchema
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
    if user.label not in contents.labels and schema.feedback.type not in contents.types:
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
    text = (
        f"No :{schema.user.label} nodes and no :{schema.feedback.type} relationships: embeddings can be trained, "
        "recommenders cannot."
    )
    yield Finding("feedback", "warning", text)


def _feedback(connection: Connection, schema: GraphSchema, contents: Contents, seen: _Read) -> Iterator[Finding]:
    part = schema.feedback
    total = contents.types.get(part.type, 0)
    with reading_bar("Checking feedback", total, None) as advance:
        found = scan_feedback(connection, schema, contents, seen.bulk, advance=advance)
    for problem in found.problems:
        yield Finding("feedback", "error", str(problem))
    if found.problems or seen.users is None or seen.items is None:
        yield Finding("feedback", "ok", f"{len(found.users):,} :{part.type}")
        return
    rows, report = assemble(connection, schema, found, seen.users, seen.items)
    yield from _rows(schema, len(found.users), rows, report)
    for note in report.unused:
        yield Finding("feedback", "warning", note)
    if found.times is not None:
        text = f"{part.timestamp!r} holds {found.kinds}, from {found.times.range()}"
        yield Finding("feedback", "ok", text)
    for label, known, used in (
        (schema.user.label, rows.n_users, rows.users),
        (schema.item.label, rows.n_items, rows.items),
    ):
        if idle := known - len(np.unique(used)):
            yield Finding("feedback", "warning", f"{idle:,} of {known:,} :{label} {_have(idle)} no feedback")


def _rows(schema: GraphSchema, n: int, rows: Interactions, report: ReadReport) -> Iterator[Finding]:
    """Report how many user-item pairs the `n` feedback relationships connect, and how many of these pairs are likes.

    `rows` has one row per pair. `report` says how many relationships were merged into one row, or left out.
    """
    part, likes = schema.feedback, int(np.count_nonzero(rows.is_like))
    name = part.rating or ("their count" if rows.ratings_are_counts else "")
    scale = f", {likes:,} of them {'a like' if likes == 1 else 'likes'}" + (
        "" if rows.like_threshold is None else f" ({name} >= {rows.like_threshold:g})"
    )
    pairs = ""
    if report.repeated:
        of = {"sum": "the sum of their ratings", "mean": "the mean of their ratings", "last": "that of the latest one"}
        kept = "their number" if rows.ratings_are_counts else of[part.repeated or "last"]
        most = 1 if rows.counts is None else int(rows.counts.max())
        pairs = f" between {counted(len(rows), 'user-item pair')} (up to {most:,} per pair; the rating is {kept})"
    yield Finding("feedback", "ok" if likes else "error", f"{n:,} :{part.type}{pairs}{scale}")
    if report.itself:
        text = f"{report.itself:,} :{part.type} from a node to itself {'is' if report.itself == 1 else 'are'} left out"
        yield Finding("feedback", "warning", text)


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
