"""Read feedback and triples from a graph into numpy arrays.

Data that cannot be used for training raises an error, which says what was found and what to change in the schema.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from kgplug.data.interactions import Interactions
from kgplug.data.kinds_of_feedback import combine_kinds
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.data.own_items import known as known_own
from kgplug.data.values.keys import factorize
from kgplug.errors import DataError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.contents import Contents, read_contents, require_label
from kgplug.graph.members import condition_on
from kgplug.graph.reading.bulk import BulkReader, Nodes, joined
from kgplug.graph.reading.conditions import check_conditions
from kgplug.graph.reading.derived import read_derived
from kgplug.graph.reading.entities import Entities, name_entities
from kgplug.graph.reading.feedback import Feedback, expected_rows, like_threshold, read_feedback, unused_settings
from kgplug.graph.reading.node_ids import NodeRows
from kgplug.graph.reading.node_keys import checked_keys
from kgplug.graph.reading.titles import read_titles
from kgplug.graph.reading.triples import TriplePlan, empty_projection, plan_triples
from kgplug.graph.schema import GraphSchema, ItemSchema, UserSchema
from kgplug.progress import bar as progress_bar

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReadReport:
    """A report on what was kept and what was left out in a read.

    Attributes:
        kept: number of user-item pairs or triples kept.
        own: number of relationships left out because kgplug wrote them.
        repeated: number of relationships with the same type, head and tail as an earlier one. For feedback, `repeated`
            under [feedback] in the schema says how such relationships become one row of the interactions.
        vanished: number of relationships left out because their head or tail was added or deleted during the read.
        itself: number of feedback relationships left out because they lead from a node to itself.
        unused: sentences on settings of the schema that have no effect, and on data that cannot be used.
        left_out: a sentence for each label, type and pattern that is left out because it repeats the feedback, and for
            values of properties that are left out.
        written: type → number of relationships that are left out because kgplug wrote them. Relationships of kgplug's
            own nodes (`KgplugModel`, `KgplugRun`, `KgplugRelation`) count in `own`, but not here.
    """

    kept: int
    own: int
    repeated: int
    vanished: int
    itself: int = 0
    unused: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    written: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, kinds: Sequence[Self], *, kept: int) -> Self:
        """Return the report on several kinds of feedback that became one row per pair.

        Args:
            kinds: the report on each kind.
            kept: number of user-item pairs.
        """
        totals = {name: sum(getattr(one, name) for one in kinds) for name in ("own", "repeated", "vanished", "itself")}
        unused = tuple(text for one in kinds for text in one.unused)
        written = {name: n for one in kinds for name, n in one.written.items()}
        return cls(kept, totals["own"], totals["repeated"], totals["vanished"], totals["itself"], unused, (), written)

    def __str__(self) -> str:
        return (
            f"{self.kept:,} kept; left out: {self.own:,} written by kgplug, {self.repeated:,} repeated, "
            f"{self.vanished:,} changed while they were read, {self.itself:,} from a node to itself"
        )

    __repr__ = __str__  # shown in notebooks

    def logged(self, what: str) -> Self:
        """Log this report and return it. Sentences in `unused` are logged as warnings.

        `what` names the data that was read, such as "feedback".
        """
        for line in (str(self), *self.left_out):
            _log.info("%s: %s", what, line)
        for line in self.unused:
            _log.warning("%s: %s", what, line)
        return self


def read_interactions(connection: Connection, schema: GraphSchema, *, progress: bool | None = None) -> Interactions:
    """Read all feedback, and all users and items, including those without feedback.

    Args:
        connection: connection to the database.
        schema: schema of the graph.
        progress: Whether to show a progress bar. None: only on a terminal.

    Returns:
        Interactions sorted by user and item. Several relationships between two nodes become one row, as `repeated` in
        the schema says. If the schema names a title property, `item_texts` has the titles of the items.

    Raises:
        DataError: an unknown label, type or property, a missing or repeated key or one of the wrong type, an unusable
            rating or timestamp, or no feedback.
    """
    interactions, report = pull_interactions(connection, schema, progress=progress)
    report.logged("feedback")
    return interactions


def read_knowledge(connection: Connection, schema: GraphSchema, *, progress: bool | None = None) -> KnowledgeGraph:
    """Read all triples of the chosen types, except the feedback and what repeats it (`kgplug.graph.reading.leakage`).

    Also read the triples of [knowledge.patterns] and [knowledge.properties] (`kgplug.graph.reading.derived`).

    The entities are all items, all heads and tails of the triples, including users, and the values of properties. For a
    node with several labels, `kgplug.graph.contents.label_keys` says which label and key identify it.

    Args:
        connection: connection to the database.
        schema: schema of the graph.
        progress: Whether to show a progress bar. None: only on a terminal.

    Raises:
        DataError: an unknown label, type or property, a missing or repeated key or one of the wrong type, a node whose
            labels have no key, a pattern or property that cannot be used, or no triples.
    """
    knowledge, report = pull_knowledge(connection, schema, progress=progress)
    report.logged("triples")
    return knowledge


def pull_interactions(
    connection: Connection, schema: GraphSchema, *, progress: bool | None = None, bulk: BulkReader | None = None
) -> tuple[Interactions, ReadReport]:
    """Read as `read_interactions` does, and also return the report. `bulk` is the reader, by default a new one."""
    if schema.user.label == schema.item.label and schema.user.key != schema.item.key:
        raise DataError(
            f":{schema.user.label} nodes are both users and items, but with two keys: [user] key is "
            f"{schema.user.key!r}, [item] key is {schema.item.key!r}.",
            advice="Set both to the same property, so that no user is recommended to themselves.",
        )
    contents, bulk = read_contents(connection), bulk or BulkReader(connection)
    check_conditions(connection, schema, contents)
    users, items = read_users(connection, schema, contents, bulk), read_items(connection, schema, contents, bulk)
    with reading_bar("Reading feedback", expected_rows(schema, contents), progress) as advance:
        feedback = read_feedback(connection, schema, contents, bulk, users.nodes.ids, advance=advance)
    kinds = merge_kinds(schema, feedback, users, titled(connection, schema, items))
    interactions = combined(kinds)
    return interactions, ReadReport.of([one.report for one in kinds], kept=len(interactions))


@dataclass(frozen=True, eq=False)
class KeyedNodes:
    """All nodes of the user label or of the item label.

    Attributes:
        nodes: the nodes as read, in any order.
        rows: map from internal node ids to row numbers in `keys`.
        keys: object (n,), sorted: integers first, then strings, each ascending.
        texts: object (n,) of str, the titles of items; None if the schema names no title property.
    """

    nodes: Nodes
    rows: NodeRows
    keys: np.ndarray
    texts: np.ndarray | None = None


def read_users(connection: Connection, schema: GraphSchema, contents: Contents, bulk: BulkReader) -> KeyedNodes:
    """Read all users.

    Raises:
        DataError: no node has the user label, or a key is missing, repeated or of the wrong type.
    """
    user = schema.user
    require_label(contents, user.label, setting="[user] label")
    nodes = bulk.label(user.label, user.key, contents.labels[user.label], where=condition_on(user, "n"))
    return KeyedNodes(nodes, *_as_rows(connection, nodes, user, "[user] key"))


def read_items(connection: Connection, schema: GraphSchema, contents: Contents, bulk: BulkReader) -> KeyedNodes:
    """Read all items, without titles (see `titled`).

    Raises:
        DataError: no node has the item label, or a key is missing, repeated or of the wrong type.
    """
    item = schema.item
    require_label(contents, item.label, setting="[item] label")
    where = condition_on(item, "n")
    nodes = bulk.label(item.label, item.key, contents.labels[item.label], item.title or None, where=where)
    return KeyedNodes(nodes, *_as_rows(connection, nodes, item, "[item] key"))


def titled(connection: Connection, schema: GraphSchema, items: KeyedNodes) -> KeyedNodes:
    """Return items with their titles; unchanged if the schema names no title property.

    Raises:
        DataError: no item has the title property.
    """
    if not schema.item.title:
        return items
    return replace(items, texts=read_titles(connection, schema, items.nodes, items.rows))


@dataclass(frozen=True, eq=False)
class MergedKind:
    """One kind of feedback with one row per user-item pair.

    Attributes:
        feedback: the kind as read.
        rows: its rows.
        report: what was kept and left out.
    """

    feedback: Feedback
    rows: Interactions
    report: ReadReport


def merge_kinds(
    schema: GraphSchema, feedback: Sequence[Feedback], all_users: KeyedNodes, all_items: KeyedNodes
) -> list[MergedKind]:
    """Merge each kind of feedback into one row per pair of a user and an item."""
    own_items = np.full(len(all_users.keys), -1, dtype=np.int64)
    own_items[all_users.rows.of(all_users.nodes.ids)] = all_items.rows.of(
        all_users.nodes.ids
    )  # for each user, the item that is the same node
    return [_merged(schema, one, all_users, all_items, own_items) for one in feedback]


def combined(kinds: Sequence[MergedKind]) -> Interactions:
    """Return all kinds as interactions to train on (`kgplug.data.kinds_of_feedback`)."""
    strengths = [one.feedback.kind.strength for one in kinds]
    return kinds[0].rows if strengths == [1] else combine_kinds([one.rows for one in kinds], strengths)


def _merged(
    schema: GraphSchema, feedback: Feedback, all_users: KeyedNodes, all_items: KeyedNodes, own_items: np.ndarray
) -> MergedKind:
    """Merge the rows of one kind of feedback into one per pair.

    Args:
        schema: schema of the graph.
        feedback: the kind as read.
        all_users, all_items: all users and items.
        own_items: int64 (n_users,), for each user the item that is the same node, -1 for others.
    """
    kind = feedback.kind
    users, items = all_users.rows.of(feedback.users), all_items.rows.of(feedback.items)
    known = (users >= 0) & (items >= 0)
    rows = Interactions.from_arrays(
        all_users.keys,
        all_items.keys,
        users[known],
        items[known],
        ratings=None if feedback.ratings is None else feedback.ratings[known],
        weights=None if feedback.weights is None else feedback.weights[known],
        timestamps=None if feedback.times is None else feedback.times.values[known],
        time_unit="s" if feedback.times is None else feedback.times.unit,
        repeated=kind.repeated,
        half_life=kind.half_life,
        like_threshold=like_threshold(feedback),
        user_label=schema.user.label,
        item_label=schema.item.label,
        item_texts=all_items.texts,
        own_items=known_own(own_items),
    )
    n_known, itself = int(known.sum()), int((own_items[users[known]] == items[known]).sum())
    report = ReadReport(
        len(rows),
        feedback.own,
        n_known - itself - len(rows),
        len(known) - n_known,
        itself,
        unused=tuple(unused_settings(schema, feedback)),
        written={kind.type: feedback.own} if kind.type else {},
    )
    return MergedKind(feedback, rows, report)


def pull_knowledge(
    connection: Connection, schema: GraphSchema, *, progress: bool | None = None, bulk: BulkReader | None = None
) -> tuple[KnowledgeGraph, ReadReport]:
    """Read as `read_knowledge` does, and also return the report. `bulk` is the reader, by default a new one."""
    contents, bulk = read_contents(connection), bulk or BulkReader(connection)
    kept = check_conditions(connection, schema, contents)
    plan = plan_triples(connection, schema, contents)
    with reading_bar("Reading triples", plan.wanted.n, progress) as advance:
        edges = bulk.edges(plan.wanted, advance)
    derived = read_derived(connection, schema, contents, plan, bulk, progress=progress)
    if derived.problems:
        raise derived.problems[0]
    more, values = derived.as_entities()
    edges = joined([edges, *more])
    if not len(edges.heads):
        raise empty_projection(schema, contents, plan)
    entities = name_entities(connection, schema, contents, bulk, edges).with_more(values)
    rows = NodeRows(entities.ids)
    triples = np.stack([rows.of(edges.heads), edges.codes, rows.of(edges.tails)], axis=1)  # (n, 3)
    there = np.flatnonzero((triples[:, 0] >= 0) & (triples[:, 2] >= 0))
    knowledge = KnowledgeGraph.from_arrays(
        entities.keys, entities.labels, np.array(edges.types, dtype=object), triples[there]
    )
    unused = [*plan.unused, *_without_triples(schema, contents, plan, edges.types, entities)]
    n_items = kept.get("item", contents.labels.get(schema.item.label, 0))
    if n_items and not (entities.labels[np.unique(triples[there][:, [0, 2]])] == schema.item.label).any():
        unused.append(
            f"None of the {n_items:,} :{schema.item.label} nodes has a triple, so recommenders cannot use the triples."
        )
    return knowledge, ReadReport(
        knowledge.n_triples,
        plan.own,
        len(there) - knowledge.n_triples,
        len(triples) - len(there),
        unused=tuple(unused),
        left_out=(*plan.left_out(schema), *(note for each in derived.properties for note in each.notes)),
        written=plan.written,
    )


def _without_triples(
    schema: GraphSchema, contents: Contents, plan: TriplePlan, types: list[str], entities: Entities
) -> Iterator[str]:
    """Yield a sentence for each type or label under [knowledge] that has no effect on the triples that were read.

    These are types that have no triples, and labels by which no entity is identified.
    """
    for name in sorted({*schema.knowledge.relationships} & plan.wanted.types.keys() - {*types}):
        yield f"[knowledge] relationships has {name}, but all of it is left out."
    known = {*entities.labels.tolist(), *(one.label for one in plan.owned)}
    for label in schema.knowledge.keys:
        if label in contents.labels and label not in known:
            yield f"[knowledge.keys] has {label}, but no entity is identified by that label."


def _as_rows(
    connection: Connection, nodes: Nodes, part: UserSchema | ItemSchema, setting: str
) -> tuple[NodeRows, np.ndarray]:
    """Check the keys of users or items; return a map from internal node ids to row numbers, and the sorted keys."""
    where = condition_on(part, "n")
    keys = checked_keys(connection, part.label, part.key, nodes.keys, setting=setting, where=where)
    rows, unique = factorize(keys)
    return NodeRows(nodes.ids, rows), unique


@contextmanager
def reading_bar(description: str, total: int, progress: bool | None) -> Generator[Callable[[int], object]]:
    """Show a progress bar while `total` relationships are read. Yield a function that adds to the count."""
    with progress_bar(total, what=description, unit="rel", progress=progress) as bar:
        yield bar.update
