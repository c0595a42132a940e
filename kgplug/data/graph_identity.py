"""The identity of the graph that a run was trained on. With it, runs of several graphs can share one folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from kgplug.cypher_text import names_in


@dataclass(frozen=True)
class GraphIdentity:
    """A graph, identified by its database's store, the labels and relationship types of its feedback, and its tenant.

    The store is what a database keeps on disk. Its id is created with the database, and stays the same when the server
    restarts or moves to another address, or when a dump of the database is loaded.

    Attributes:
        store: id of the database's store, "" if unknown.
        database: name of the database, "" if unknown.
        address: host:port of the server, "" if unknown.
        user, item: label and key property of users and items, such as "User.id"; "" if unknown.
        feedback: what identifies the feedback (`identify_feedback`), such as its relationship type; "" if unknown.
        feedback_types: the relationship types that the feedback leads through; empty if unknown.
        user_where, item_where: conditions on users and items, which tell the tenants of a database apart; "" for no
            condition, None if unknown.
        holds: all labels and relationship types in the database, if `same_graph` should check them; otherwise None.
    """

    store: str = ""
    database: str = ""
    address: str = ""
    user: str = ""
    item: str = ""
    feedback: str = ""
    feedback_types: frozenset[str] = frozenset()
    user_where: str | None = None
    item_where: str | None = None
    holds: frozenset[str] | None = None

    @classmethod
    def of_schema(cls, schema: Mapping[str, Any], *, store: str = "", database: str = "", address: str = "") -> Self:
        """Return the identity of the graph that a schema describes.

        Args:
            schema: the schema as a dict, from `GraphSchema.model_dump`.
            store, database, address: see the attributes of the class.
        """
        user, item = (f"{schema[part]['label']}.{schema[part]['key']}" for part in ("user", "item"))
        kinds = [schema["feedback"]] if isinstance(schema["feedback"], Mapping) else schema["feedback"]
        feedback = identify_feedback((kind.get("pattern") or kind["type"], kind.get("where")) for kind in kinds)
        types = (names_in(kind["pattern"]).types if kind.get("pattern") else {kind["type"]} for kind in kinds)
        user_where, item_where = (schema[part].get("where") or "" for part in ("user", "item"))
        names = frozenset().union(*types)
        return cls(store, database, address, user, item, feedback, names, user_where, item_where)

    @classmethod
    def of_run(cls, content: Mapping[str, Any]) -> Self:
        """Return the identity of the graph that a run was trained on.

        Runs of earlier versions store only the schema, so `store`, `database` and `address` are "". If the content is
        malformed, all fields are "".

        Args:
            content: the run's content (`kgplug.data.artefact.read_content`).
        """
        try:
            found = content.get("graph") or {}
            store, database, address = (str(found.get(name, "")) for name in ("store", "database", "address"))
            if not content.get("schema"):
                return cls(store, database, address)
            return cls.of_schema(content["schema"], store=store, database=database, address=address)
        except (KeyError, TypeError, AttributeError):
            return cls()

    def same_store(self, other: Self) -> bool:
        """Return whether both graphs are in the same database. True if either store is unknown."""
        return not (self.store and other.store) or self.store == other.store

    def same_graph(self, other: Self) -> bool:
        """Return whether both graphs have the same store, users, items, feedback and tenant.

        Unknown fields count as equal.

        If `self.holds` is not None, it must also contain the labels and the feedback types of the other graph.
        """
        known = ((getattr(self, name), getattr(other, name)) for name in ("user", "item", "feedback"))
        if not all(not (mine and theirs) or mine == theirs for mine, theirs in known):
            return False
        if not all(None in pair or pair[0] == pair[1] for pair in self._conditions(other)):
            return False
        there = self.holds is None or other._names() <= self.holds
        return there and self.same_store(other)

    def _conditions(self, other: Self) -> list[tuple[str | None, str | None]]:
        """Return pairs of this graph's and another graph's condition: on users, and on items."""
        return [(self.user_where, other.user_where), (self.item_where, other.item_where)]

    def to_dict(self) -> dict[str, str]:
        """Return the known fields that are text, ready for JSON."""
        return {name: value for name, value in asdict(self).items() if value and isinstance(value, str)}

    def _names(self) -> set[str]:
        """Return the labels of users and items and the feedback types, without unknown ones."""
        return {name for name in (_label(self.user), _label(self.item), *self.feedback_types) if name}

    def __str__(self) -> str:
        """Return a text such as (:User)-[:RATED]-(:Movie) in database neo4j at 127.0.0.1:7687 (store 17FD54E1)."""
        pattern = f"(:{_label(self.user)})-[:{self.feedback}]-(:{_label(self.item)})"
        pattern = self.feedback if self.feedback_types != {self.feedback} else pattern
        parts = [pattern] if self.feedback else []
        if conditions := " and ".join(filter(None, (self.user_where, self.item_where))):
            parts.append(f"where {conditions}")
        parts += [f"in database {self.database}"] if self.database else []
        parts += [f"at {self.address}"] if self.address else []
        parts += [f"(store {self.store[:8]})"] if self.store else []
        return " ".join(parts) or "an unknown graph"


def identify_feedback(kinds: Iterable[tuple[str, str | None]]) -> str:
    """Return a text that tells the feedback of one schema from that of others of the same graph.

    Args:
        kinds: type or pattern, and condition of each kind of feedback; None for no condition.
    """
    return ", ".join(sorted(found + (f" WHERE {where}" if where else "") for found, where in kinds))


def _label(name: str) -> str:
    """Return the label from a text such as "User.id": here "User"."""
    return name.rpartition(".")[0]
