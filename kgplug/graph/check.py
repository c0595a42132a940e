"""Tell what a training would use of a graph, and what stands in its way: `kgplug check`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from kgplug.errors import DataError, GraphError
from kgplug.graph.catalog import OWN_RELATIONSHIPS
from kgplug.graph.connection import Connection
from kgplug.graph.contents import Contents, label_keys, listed, read_contents, require_label, require_type
from kgplug.graph.feedback import feedback_pattern, rating_value, timestamp_value
from kgplug.graph.node_keys import key_problem, labels_with_problems
from kgplug.graph.ownership import count_own, not_own
from kgplug.graph.privileges import Purpose, missing_privileges
from kgplug.graph.schema import GraphSchema
from kgplug.graph.titles import count_titles
from kgplug.graph.triples import TriplePlan, count_triples, empty_projection, plan_triples, touched_nodes

if TYPE_CHECKING:
    import pandas as pd

Level = Literal["ok", "warning", "error"]
_MOST_LABELS = 10  # whose keys are named as wrong
_VECTOR_PROCEDURE = "db.index.vector.queryNodes"


@dataclass(frozen=True)
class Finding:
    """One line of a check.

    Attributes:
        check: what was looked at.
        level: "error" stands in the way of a training, "warning" makes it worse than it could be.
        finding: one sentence or two.
    """

    check: str
    level: Level
    finding: str


@dataclass(frozen=True)
class CheckReport:
    """What `check` found.

    Attributes:
        uri: of the server.
        findings: in the order looked at.
    """

    uri: str
    findings: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing stands in the way of a training."""
        return all(finding.level != "error" for finding in self.findings)

    def __repr__(self) -> str:
        counts = {level: sum(one.level == level for one in self.findings) for level in ("error", "warning")}
        said = [f"  {one.level}: {one.check}: {one.finding}" for one in self.findings if counts.get(one.level)]
        summary = ", ".join(f"{n} {level}{'s' if n > 1 else ''}" for level, n in counts.items() if n) or "all ok"
        return "\n".join([f"Check of {self.uri}: {summary}", *said])

    def _repr_html_(self) -> str:
        return self.to_dataframe().to_html()

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row a finding, under the index check: level, finding."""
        import pandas as pd

        columns = ["check", "level", "finding"]
        rows = [[getattr(finding, column) for column in columns] for finding in self.findings]
        return pd.DataFrame(rows, columns=pd.Index(columns)).set_index("check")


def check(connection: Connection, schema: GraphSchema) -> CheckReport:
    """Look at everything that a training with this schema needs. Scans the labels and types of the schema."""
    contents = read_contents(connection)
    user = schema.user
    parts: dict[str, Callable[[], Iterator[Finding]]] = {
        "server": lambda: _server(connection),
        "privileges": lambda: _privileges(connection),
        "users": lambda: _keys(connection, contents, user.label, user.key, "[user] key", "users"),
        "items": lambda: _items(connection, schema, contents),
        "feedback": lambda: _feedback(connection, schema, contents),
        "knowledge": lambda: _knowledge(connection, schema, contents),
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


def _server(connection: Connection) -> Iterator[Finding]:
    text = f'Neo4j {connection.server_version} {connection.edition}, database "{connection.database}"'
    yield Finding("server", "ok", text)
    found = connection.rows("SHOW PROCEDURES YIELD name WHERE name = $name", name=_VECTOR_PROCEDURE)
    if found:
        yield Finding("vector index", "ok", "supported")
    else:
        yield Finding("vector index", "warning", f"{_VECTOR_PROCEDURE} is not there: similar items cannot be queried")


def _privileges(connection: Connection) -> Iterator[Finding]:
    """Tell whether this account may train and publish."""
    purposes: tuple[tuple[Purpose, Level], ...] = (("read", "error"), ("publish", "warning"))
    for purpose, level in purposes:
        name = f"may {purpose}"
        try:
            missing = missing_privileges(connection, purpose)
        except GraphError as error:
            yield Finding(name, "warning", f"cannot be told: {error}")
            continue
        text = f"missing: {'; '.join(missing)} (docs/privileges.md)" if missing else "this account has every privilege"
        yield Finding(name, level if missing else "ok", text)


def _keys(
    connection: Connection, contents: Contents, label: str, key: str, setting: str, what: str
) -> Iterator[Finding]:
    """Check that every node of a label has a key of its own."""
    require_label(contents, label, setting=setting.split("]")[0] + "] label")
    problem = key_problem(connection, label, key, setting=setting)
    if problem is not None:
        yield Finding(what, "error", str(problem))
        return
    constrained = key in contents.unique.get(label, [])
    note = "" if constrained else "; no constraint keeps it unique, and look-ups by it are slow without an index"
    yield Finding(what, "ok" if constrained else "warning", f"{contents.labels[label]:,} :{label} by {key}{note}")


def _items(connection: Connection, schema: GraphSchema, contents: Contents) -> Iterator[Finding]:
    item, total = schema.item, contents.labels.get(schema.item.label, 0)
    yield from _keys(connection, contents, item.label, item.key, "[item] key", "items")
    if not item.title:
        yield Finding("items", "ok", "no [item] title is set: the key is shown, and DKN has nothing to read")
        return
    n = count_titles(connection, schema, total)
    yield Finding("items", "ok" if n == total else "warning", f"{n:,} of {total:,} :{item.label} have a {item.title!r}")


def _nothing_but_knowledge(schema: GraphSchema) -> Iterator[Finding]:
    """Say that a graph without users and feedback is good for embeddings only."""
    text = (
        f"No :{schema.user.label} nodes and no :{schema.feedback.type} relationships: embeddings can be trained, "
        "recommenders cannot."
    )
    yield Finding("feedback", "warning", text)


def _feedback(connection: Connection, schema: GraphSchema, contents: Contents) -> Iterator[Finding]:
    for label, setting in ((schema.user.label, "[user] label"), (schema.item.label, "[item] label")):
        require_label(contents, label, setting=setting)
    part = schema.feedback
    require_type(contents, part.type, setting="[feedback] type")
    others = not_own(connection, part.type)
    own = f"WHERE {others}" if others else ""
    rating = rating_value(part.rating) if part.rating else "0.0"
    timestamp = timestamp_value(part.timestamp) if part.timestamp else "0.0"
    (row,) = connection.rows(
        f"MATCH {feedback_pattern(schema)} {own} WITH a, b, {rating} AS rating, {timestamp} AS timestamp "
        "RETURN count(*) AS n, count(DISTINCT a) AS users, count(DISTINCT b) AS items, "
        "sum(CASE WHEN isNaN(rating) THEN 1 ELSE 0 END) AS unrated, "
        "sum(CASE WHEN isNaN(timestamp) THEN 1 ELSE 0 END) AS undated, "
        "sum(CASE WHEN $like IS NULL OR rating >= $like THEN 1 ELSE 0 END) AS likes",
        like=part.like if part.rating else None,
    )
    if row["n"] == 0:
        yield Finding("feedback", "error", f"MATCH {feedback_pattern(schema)} finds nothing")
        return
    scale = f", {row['likes']:,} of them likes" + (f" ({part.rating} >= {part.like:g})" if part.like else "")
    yield Finding("feedback", "ok" if row["likes"] else "error", f"{row['n']:,} :{part.type}{scale}")
    for setting, name, n in (("rating", part.rating, row["unrated"]), ("timestamp", part.timestamp, row["undated"])):
        if n:
            text = f"{n:,} :{part.type} have no usable {name!r}. Correct them, or remove [feedback] {setting}."
            yield Finding("feedback", "error", text)
    for label, n in ((schema.user.label, row["users"]), (schema.item.label, row["items"])):
        if idle := contents.labels[label] - n:
            yield Finding("feedback", "warning", f"{idle:,} of {contents.labels[label]:,} :{label} have no feedback")


def _knowledge(connection: Connection, schema: GraphSchema, contents: Contents) -> Iterator[Finding]:
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
    level = "ok" if linked == contents.labels[schema.item.label] else "warning"
    text = f"{linked:,} of {contents.labels[schema.item.label]:,} :{schema.item.label} have triples"
    yield Finding("knowledge", level if linked else "error", f"{total:,} triples; {text}")
    yield from _entity_keys(connection, schema, contents, plan, touched)


def _entity_keys(
    connection: Connection,
    schema: GraphSchema,
    contents: Contents,
    plan: TriplePlan,
    touched: dict[tuple[str, ...], int],
) -> Iterator[Finding]:
    """Check the keys of all labels that triples touch."""
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
        text = f"{n:,} {nodes} among the triples have no key. Name a unique property under [knowledge.keys]."
        yield Finding("knowledge", "error", text)
    key_of = {label: keys[label] for label in keys if entities[label] and label != schema.item.label}
    wrong = labels_with_problems(connection, key_of, contents) if key_of else []
    for label in wrong[:_MOST_LABELS]:
        problem = key_problem(connection, label, keys[label], setting=f"[knowledge.keys] {label}")
        if problem is not None:
            yield Finding("knowledge", "error", str(problem))
    known = {*entities, *(one.label for one in plan.owned)}
    for label in schema.knowledge.keys:
        if label in contents.labels and label not in known:
            text = f"[knowledge.keys] names {label}, and no entity goes by that label."
            yield Finding("knowledge", "warning", text)
    yield Finding(
        "knowledge", "ok", f"entities: {listed([f':{label} by {keys[label]}' for label in keys if entities[label]])}"
    )


def _own(connection: Connection, contents: Contents) -> Iterator[Finding]:
    nodes = contents.own
    edges = {name: n for name in OWN_RELATIONSHIPS if (n := count_own(connection, name))}
    if not edges and not any(nodes.values()):
        yield Finding("kgplug's own", "ok", "nothing published here yet")
        return
    text = ", ".join(f"{n:,} :{name}" for name, n in {**edges, **nodes}.items() if n)
    yield Finding("kgplug's own", "ok", f"{text}; left out of every training")
