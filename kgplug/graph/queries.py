"""The Cypher queries shipped with kgplug: find one by name, insert a schema's names, quote identifiers.

The files in `cypher/` run unchanged on the demo graph. Names that depend on the graph are in backticks, and `render`
replaces them with those of a schema:

    (user:`User`)-[rated:`RATED`]->(item:`Movie`)     labels and types
    user.`id`   item.`id`   item.`title`              properties of users and items
    rated.`rating`   rated.`timestamp`                properties of feedback

Properties are replaced only on a variable whose name ends in user, item or rated. A line that begins with AND or // is
removed if it uses a rating or timestamp that the schema does not have. The lines from "// name of x" to "// end of
name" become an expression for the name of the node x (`kgplug.graph.naming`). "// readable name of x" does the same,
but gives null instead of a key that people cannot read. The lines from "// label of x" to "// end of label" become an
expression for the label that identifies x.

If the schema has conditions on users or items (`kgplug.graph.members`), they are added to each (x:`User`) and
(x:`Movie`), and the line "// and x is no user or item of another tenant" becomes a condition. Otherwise this line is
removed.

If feedback is stored from items to users, the arrows of RATED are reversed. If the schema has several kinds of
feedback, or describes it with Cypher, `kgplug.graph.feedback_queries` inserts it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from kgplug.data.values.whole_numbers import whole_number
from kgplug.errors import UsageError, unknown_name
from kgplug.graph.feedback_queries import INSERTED, with_feedback
from kgplug.graph.members import is_outside, item_node, user_node
from kgplug.graph.naming import KEY_NAMES, OPAQUE_PATTERN, TITLE_NAMES, TITLE_PATTERN, named_keys
from kgplug.graph.quoting import feedback_arrow, quote, quote_text
from kgplug.graph.schema import GraphSchema

__all__ = ["LONGEST", "checked", "feedback_arrow", "load", "name_expression", "names", "parameters", "purpose"]
__all__ += ["queries_dir", "quote", "quote_text", "render", "writes"]

LONGEST = 10_000_000  # maximum $k; queries ask for 10 * $k candidates, and Neo4j's vector index returns at most 2^31
_TOKEN = re.compile(
    r"\((?P<variable>\w*):`(?P<node>User|Movie)`\)|(?P<before>:|\w*user\.|\w*item\.|\w*rated\.)`(?P<name>[^`]+)`"
)
_EXISTS = re.compile(r"^(?P<indent> *)// and (?P<node>\w+) is no user or item of another tenant\n", re.MULTILINE)
_MARKED = re.compile(r"// (?P<what>readable name|name|label) of (?P<node>\w+)\n.*?// end of (?P=what)\n", re.DOTALL)
_CONDITION = re.compile(r"^ *(AND|//) .*$\n", re.MULTILINE)
_FEEDBACK_ARROW = re.compile(r"(?P<left><?)-(?P<between>\[\w*:`RATED`\])-(?P<right>>?)")


def queries_dir() -> Path:
    """Return the folder of the shipped queries: inside the installed package, or next to it in a checkout."""
    installed = Path(__file__).parents[1] / "_cypher"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "cypher"


def names() -> list[str]:
    """Return the names of the shipped queries, sorted."""
    return sorted(path.stem for path in queries_dir().glob("*.cypher"))


def load(name: str, schema: GraphSchema | None = None) -> str:
    """Return the text of a shipped query with the labels, types and properties of a schema (default: the demo's).

    Raises:
        UsageError: there is no such query.
    """
    name = name.removesuffix(".cypher")
    if name not in names():
        raise unknown_name("query", name, names())
    text = (queries_dir() / f"{name}.cypher").read_text(encoding="utf-8")
    return text if schema is None else render(text, schema)


def parameters(text: str) -> list[str]:
    """Return the names of the parameters in a query's text, sorted, without "$"."""
    return sorted(set(re.findall(r"\$(\w+)", _without_comments(text))))


def writes(text: str) -> bool:
    """Return whether the query with this text changes the graph."""
    return bool(re.search(r"\b(CREATE|MERGE|SET|DELETE|REMOVE|LOAD CSV)\b", _without_comments(text)))


def checked(name: str, text: str, given: Mapping[str, object]) -> dict[str, object]:
    """Check the parameters of a shipped query before it is sent to the server; return them, with `k` as an `int`.

    Args:
        name: name of the query.
        text: text of the query.
        given: parameters of the call.

    Raises:
        UsageError: the query changes the graph, a parameter is missing, or k is not a whole number from 1 to 10,000,000
            (`LONGEST`).
    """
    name = name.removesuffix(".cypher")
    if writes(text):
        raise UsageError(
            f"{name} changes the graph, and only reading queries can be run here. Print it with `kgplug cypher {name}` "
            "and run it in another Neo4j client, or use `kgplug import`."
        )
    missing = [parameter for parameter in parameters(text) if parameter not in given]
    if missing:
        raise UsageError(f"The query {name} needs a value for {', '.join(missing)}. {_explained(text)}")
    if "k" not in parameters(text):
        return dict(given)
    k = whole_number(given["k"], "k", least=1)
    if k > LONGEST:
        raise UsageError(f"k: expected a length of at most {LONGEST:,}, found {k}.")
    return {**given, "k": k}


def _explained(text: str) -> str:
    """Return the lines of a query's header that explain its parameters, as one line."""
    header = " ".join(line.removeprefix("//").strip() for line in text.splitlines() if line.startswith("//"))
    found = re.search(r"Parameters: .*?(?= Returns:|$)", header)
    return "" if found is None else found[0]


def purpose(name: str) -> str:
    """Return the purpose of a query, from the first line of its header."""
    first = load(name).splitlines()[0]
    return first.removeprefix("//").strip().removeprefix("Purpose:").strip()


def _without_comments(text: str) -> str:
    return re.sub(r"//.*", "", text)


def render(text: str, schema: GraphSchema) -> str:
    """Return a shipped query with the demo graph's names replaced by those of a schema."""
    kind = schema.feedback[0] if schema.has_plain_feedback else None
    inserted = list[str]()
    if kind is None:
        text, inserted = with_feedback(text, schema)
    labels = {"User": schema.user.label, "Movie": schema.item.label, "RATED": kind.type if kind else "RATED"}
    properties = {
        "user.": {"id": schema.user.key},
        "item.": {"id": schema.item.key, "title": schema.item.title or schema.item.key},
        "rated.": {name: getattr(kind, name, None) for name in ("rating", "timestamp")},
    }

    members = schema.without_conditions() if writes(text) else schema

    def without_missing(match: re.Match[str]) -> str:
        missing = [name for name, value in properties["rated."].items() if value is None]
        return "" if any(f"rated.`{name}`" in match[0] for name in missing) else match[0]

    def replace_name(match: re.Match[str]) -> str:
        if match["node"]:
            node, part = (user_node, members.user) if match["node"] == "User" else (item_node, members.item)
            return node(members, match["variable"] or ("" if part.where is None else f"node_{match.start()}"))
        before, name = match["before"], match["name"]
        known = (
            labels
            if before == ":"
            else next(properties[variable] for variable in properties if before.endswith(variable))
        )
        if name not in known:
            return match[0]
        value = known[name]
        return f"{before}{quote(value)}" if value is not None else "null"

    def and_exists(match: re.Match[str]) -> str:
        outside = is_outside(members, match["node"])
        return f"{match['indent']}AND NOT {outside}\n" if outside else ""

    if kind is not None and kind.direction == "item_to_user":
        text = _FEEDBACK_ARROW.sub(_turned, text)
    text = _TOKEN.sub(replace_name, _CONDITION.sub(without_missing, text))
    text = _EXISTS.sub(and_exists, text)
    text = _MARKED.sub(lambda match: _described(schema, match["what"], match["node"]), text)
    return INSERTED.sub(lambda match: inserted[int(match[1])], text)


def _described(schema: GraphSchema, what: str, node: str) -> str:
    """Return the Cypher expression for the label or the name of a node.

    `what` is "label", "name" or "readable name", and `node` is the node's Cypher variable.
    """
    return f"{_label(schema, node)}\n" if what == "label" else name_expression(schema, node, readable=what != "name")


def _label(schema: GraphSchema, node: str) -> str:
    first = f"head([label IN [{', '.join(map(quote_text, named_keys(schema)))}] WHERE label IN labels({node})]"
    return f"{first} + labels({node}))"


def name_expression(schema: GraphSchema, node: str, *, readable: bool = False) -> str:
    """Return the Cypher expression for the name of a node, by the rule of `kgplug.graph.naming`.

    Args:
        schema: schema of the graph.
        node: Cypher variable of the node.
        readable: give null instead of a key that people cannot read.
    """
    item = f"{node}.{quote(schema.item.key)}"
    if readable:
        item = f"CASE WHEN {_is_readable(item)} THEN {item} END"
    title = f"coalesce({node}.{quote(schema.item.title)}, {item})" if schema.item.title else item
    key_of = ", ".join(f"{quote(label)}: {quote_text(key)}" for label, key in named_keys(schema).items())
    titles, others = (", ".join(map(quote_text, names)) for names in (TITLE_NAMES, KEY_NAMES))
    only_readable = f" AND (title_rank < 100 OR {_is_readable('value')})" if readable else ""
    return (
        f"CASE WHEN {node}:{quote(schema.item.label)} THEN {title} ELSE head(COLLECT {{ // a title, else the key\n"
        f"    WITH {{{key_of}}}[{_label(schema, node)}] AS key\n"
        f"    UNWIND [name IN keys({node}) WHERE NOT name STARTS WITH 'kgplug_'] AS name\n"
        f"    WITH name, {node}[name] AS value, CASE\n"
        "      WHEN name = key THEN 100\n"
        f"      WHEN {node}[name] IS :: STRING NOT NULL AND trim({node}[name]) <> '' AND (\n"
        f"        toLower(name) IN [{titles}] OR name =~ {quote_text(TITLE_PATTERN)})\n"
        f"        THEN head([i IN range(0, 99) WHERE [{titles}][i] = toLower(name)] + [99])\n"
        f"      ELSE head([i IN range(0, 99) WHERE [{others}][i] = toLower(name) | 101 + i]) END AS title_rank\n"
        f"    WHERE title_rank IS NOT NULL{only_readable}\n"
        "    RETURN value ORDER BY title_rank, name LIMIT 1\n"
        "  }) END\n"
    )


def _is_readable(value: str) -> str:
    return f"NOT toStringOrNull({value}) =~ {quote_text(OPAQUE_PATTERN)}"


def _turned(match: re.Match[str]) -> str:
    left, right = "<" if match["right"] else "", ">" if match["left"] else ""
    return f"{left}-{match['between']}-{right}"
