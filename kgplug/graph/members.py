"""Which nodes are users and items: those with the label of the schema for which the schema's condition is true.

`where` under [user] and [item] in kgplug.toml is a Cypher condition on the variable `user` or `item`. With it, several
tenants can share a database and its labels: a node with the label for which the condition is not true does not exist
for kgplug. The functions of this module write the condition into a query, for any variable of this query.
"""

from __future__ import annotations

from kgplug.cypher_variables import FROM_USER, with_variable
from kgplug.graph.quoting import quote
from kgplug.graph.schema import GraphSchema, ItemSchema, UserSchema


def is_user(schema: GraphSchema, variable: str) -> str:
    """Return the Cypher condition that a node is a user, such as a:`User`.

    `variable` is the Cypher variable of the node.
    """
    return _is_member(schema.user, variable)


def is_item(schema: GraphSchema, variable: str) -> str:
    """Return the Cypher condition that a node is an item, such as b:`Movie`; arguments as in `is_user`."""
    return _is_member(schema.item, variable)


def user_node(schema: GraphSchema, variable: str) -> str:
    """Return the part of a Cypher pattern that matches users, such as (a:`User`); arguments as in `is_user`."""
    return _node(schema.user, variable)


def item_node(schema: GraphSchema, variable: str) -> str:
    """Return the part of a Cypher pattern that matches items, such as (b:`Movie`); arguments as in `is_user`."""
    return _node(schema.item, variable)


def condition_on(part: UserSchema | ItemSchema, variable: str) -> str:
    """Return the condition `where` of a part for the node with this variable, never null; "" if it has none."""
    return f"coalesce({_text(part, variable)}, false)" if part.where is not None else ""


def members_of(schema: GraphSchema, label: str, variable: str) -> str:
    """Return the condition that a node with this label exists for kgplug; "" if all of them do.

    A node with the label of users or items exists if it is a user or an item. Nodes of all other labels exist.
    """
    parts = [part for part in (schema.item, schema.user) if part.label == label]
    if not parts or any(part.where is None for part in parts):
        return ""
    return f"({' OR '.join(condition_on(part, variable) for part in parts)})"


def is_outside(schema: GraphSchema, variable: str) -> str:
    """Return the condition that a node has the label of users or items, and is neither; "" if there is no such node.

    `variable` is the Cypher variable of the node.
    """
    user, item = schema.user, schema.item
    if not schema.has_conditions or (user.label == item.label and None in schema.conditions):
        return ""
    labels = "|".join(quote(label) for label in dict.fromkeys((user.label, item.label)))
    return f"({variable}:{labels} AND NOT ({is_user(schema, variable)} OR {is_item(schema, variable)}))"


def _is_member(part: UserSchema | ItemSchema, variable: str) -> str:
    label = f"{variable}:{quote(part.label)}"
    return label if part.where is None else f"({label} AND {condition_on(part, variable)})"


def _node(part: UserSchema | ItemSchema, variable: str) -> str:
    where = f" WHERE {_text(part, variable)}" if part.where is not None else ""
    return f"({variable}:{quote(part.label)}{where})"


def _text(part: UserSchema | ItemSchema, variable: str) -> str:
    return f"{FROM_USER} {with_variable(part.where or '', variable_of(part), variable)}"


def variable_of(part: UserSchema | ItemSchema) -> str:
    """Return the variable that the condition of a part is about."""
    return "user" if isinstance(part, UserSchema) else "item"
