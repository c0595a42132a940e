"""Read relations that patterns define: [knowledge.patterns] in kgplug.toml.

A relation has one triple (head, NAME, tail) for each pair of different nodes between which the pattern matches at least
`least_count` times. A pattern that looks the same from both ends, such as "products bought together", gives a triple in
each direction.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from kgplug.cypher_text import hides_nodes, named_path, names_in, parts, without_comments
from kgplug.errors import DataError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.catalog import OWN_RELATIONSHIPS
from kgplug.graph.contents import Contents
from kgplug.graph.knowledge_schema import RelationPattern
from kgplug.graph.members import is_outside
from kgplug.graph.ownership import not_own, own_runs
from kgplug.graph.queries import quote
from kgplug.graph.reading import patterns
from kgplug.graph.reading.bulk import BulkReader, Edges
from kgplug.graph.reading.patterns import PathText
from kgplug.graph.schema import GraphSchema
from kgplug.graph.user_cypher import explained, user_rows
from kgplug.settings import Settings


@dataclass(frozen=True)
class RepeatingPattern:
    """A pattern that leads through feedback, or through data that repeats the feedback.

    Attributes:
        name: name of the relation.
        through: what it leads through, such as "ORDERS".
    """

    name: str
    through: str


def setting_of(name: str) -> str:
    """Return the entry of a relation in kgplug.toml, for messages."""
    return f"[knowledge.patterns] {name}"


def find_repeating_patterns(
    connection: Connection, schema: GraphSchema, contents: Contents, labels: Collection[str], types: Collection[str]
) -> list[RepeatingPattern]:
    """Return the patterns that lead through feedback, or through labels or types that repeat it.

    A step whose relationship has no type or hides nodes, or whose nodes have no label, leads through them if it matches
    one of them. A pattern that is more than a list of plain paths also leads through them if it has a type of feedback.

    Args:
        connection: connection to the database.
        schema: schema of the graph.
        contents: contents of the database.
        labels, types: labels and types that repeat the feedback.
    """
    direct = [kind.names for kind in schema.feedback if not kind.names.labels and not kind.names.has_unlabelled]
    known = {*types, *(name for names in direct for name in names.types)} & contents.types.keys()
    labels = {*labels} & contents.labels.keys()
    found = []
    for name, relation in schema.knowledge.patterns.items():
        names = names_in(relation.pattern, ends=())
        is_plain = bool(patterns.paths_of(without_comments(relation.pattern)))
        telling = known if is_plain else known | (schema.feedback_types & contents.types.keys())
        through = sorted((names.labels & labels) | (names.types & telling))
        if not through and (labels or known):
            through = _met(connection, relation.pattern, labels, known)
        if through:
            found.append(RepeatingPattern(name, ", ".join(through)))
    return found


def read_relation(
    connection: Connection,
    schema: GraphSchema,
    contents: Contents,
    name: str,
    bulk: BulkReader,
    *,
    types: Collection[str],
    advance: Callable[[int], object] = int,
) -> Edges:
    """Read the triples of one pattern.

    Args:
        connection: connection to the database.
        schema: schema of the graph.
        contents: contents of the database.
        name: name of the relation.
        bulk: reader for the database.
        types: relationship types that are read as triples.
        advance: called from time to time with the number of triples read since the last call.

    Raises:
        DataError: a relationship type that is read has the same name, the server refuses the pattern, it does not
            finish in time, or it matches nothing.
    """
    relation, setting = schema.knowledge.patterns[name], setting_of(name)
    if name in types:
        raise DataError(
            f"{setting} has the same name as a relationship type that is read.",
            advice=f"Rename the pattern, or add {name} to [knowledge] exclude to read only the pattern.",
        )
    text = without_comments(relation.pattern)
    paths = patterns.paths_of(text)
    head = patterns.node_of(paths, "head")
    match = _match(connection, schema, contents, relation, text, paths)
    query = bulk.pairs_query(head, match)
    user_rows(connection, setting, f"EXPLAIN {query}", least=1)  # finds errors in the Cypher
    with explained(setting):
        heads, tails = bulk.pairs(query, limit_s=Settings().kgplug_query_s, advance=advance, least=relation.least_count)
    if not len(heads):
        if relation.least_count > 1 and (most := _most_matches(connection, setting, head, match)):
            raise DataError(
                f"{setting}: no two nodes have least_count = {relation.least_count} matches between them; the maximum "
                f"is {most:,}."
            )
        raise patterns.nothing_matched(connection, setting, text, relation.where, contents)
    return Edges([name], np.zeros(len(heads), dtype=np.int64), heads, tails, np.empty((len(heads), 0)))


def _match(
    connection: Connection,
    schema: GraphSchema,
    contents: Contents,
    relation: RelationPattern,
    text: str,
    paths: list[PathText],
) -> str:
    """Return the MATCH clause of a pattern, without matches that touch what is never read.

    Args:
        connection: connection to the database.
        schema: schema of the graph.
        contents: contents of the database.
        relation: the pattern.
        text, paths: the pattern's text without comments, and its paths.
    """
    knowledge = schema.knowledge
    never = {*knowledge.exclude} & contents.labels.keys() | contents.own.keys()
    if not knowledge.users and schema.user.label != schema.item.label:
        never |= {schema.user.label} & contents.labels.keys()
    conditions = ["head <> tail"]
    conditions += [f"NOT {outside}" for end in ("head", "tail") if (outside := is_outside(schema, end))]
    if never:
        names = "|".join(quote(label) for label in sorted(never))
        conditions += [f"NOT head:{names}", f"NOT tail:{names}"]
    touches_own = own_runs(connection) and _may_touch_own(text, paths)
    outside = is_outside(schema, "kgplug_n")
    if touches_own or outside:
        others = not_own(connection, OWN_RELATIONSHIPS[0], "kgplug_r")
        named = [path if path.name else PathText(f"kgplug_p{n}", path.elements) for n, path in enumerate(paths)]
        if touches_own:
            conditions += [f"all(kgplug_r IN relationships({path.name}) WHERE {others})" for path in named]
        if outside:
            conditions += [f"none(kgplug_n IN nodes({path.name}) WHERE {outside})" for path in named]
        text = ", ".join(map(str, named)) or text
    if relation.where is not None:
        conditions.append(f"(\n{without_comments(relation.where)}\n)")
    return f"MATCH {text}\nWHERE {' AND '.join(conditions)}"


def _may_touch_own(text: str, paths: list[PathText]) -> bool:
    """Return whether a pattern may match relationships that kgplug wrote."""
    is_any = any(not patterns.is_typed(step) for path in paths for step in path.elements[1::2])
    return is_any or bool(names_in(text, ends=()).types & {*OWN_RELATIONSHIPS})


def _met(connection: Connection, pattern: str, labels: set[str], types: set[str]) -> list[str]:
    """Return a label or type among the given ones that a pattern's steps match without naming it; [] if there is none.

    Only steps that leave a type or label open, or that hide nodes, are looked at. Of a pattern that is more than a list
    of plain paths, each part is looked at.
    """
    for step in _open_steps(without_comments(pattern)):
        name, path = named_path(step, "kgplug_path")
        query = (
            f"MATCH {path}\n"
            f"WITH [r IN relationships({name}) WHERE type(r) IN $types | type(r)] + reduce(found = [], "
            f"n IN nodes({name}) | found + [l IN labels(n) WHERE l IN $labels]) AS met WHERE size(met) > 0 "
            "RETURN met LIMIT 1"
        )
        given: dict[str, Any] = {"labels": sorted(labels), "types": sorted(types)}
        try:
            user_rows(connection, "", f"EXPLAIN {query}", **given)
        except DataError:  # a wrong pattern, which is reported when it is read
            continue
        try:
            rows = user_rows(connection, "", query, **given)
        except DataError as error:
            if "refuses the Cypher" in str(error):  # it would write, for example, which is reported when it is read
                continue
            return [step]  # it takes too long to know
        if rows:
            return rows[0]["met"][:1]
    return []


def _open_steps(pattern: str) -> list[str]:
    """Return the steps of a pattern that leave a type or label open, or hide nodes; its parts if they are not plain."""
    paths = patterns.paths_of(pattern)
    if not paths:
        return parts(pattern)
    return [
        f"{head}{between}{tail}"
        for head, between, tail in patterns.steps_of(paths)
        if hides_nodes(between)
        or not (patterns.is_typed(between) and patterns.is_labelled(head) and patterns.is_labelled(tail))
    ]


def _most_matches(connection: Connection, setting: str, head: str, match: str) -> int:
    """Return the maximum number of matches of a pattern between two nodes; 0 if there is none.

    `setting` is the pattern's entry, for messages; `head` and `match` are as in `BulkReader.pairs_query`.
    """
    tails = f"COLLECT {{ {match}\nWITH tail, count(*) AS n RETURN n ORDER BY n DESC LIMIT 1 }}"
    query = f"MATCH {head} WITH {tails} AS found UNWIND found AS n RETURN max(n) AS most"
    return user_rows(connection, setting, query)[0]["most"] or 0
