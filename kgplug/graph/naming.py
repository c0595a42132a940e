"""The readable name of a node, by one rule for `kgplug init`, the shipped queries, explanations and figure captions.

The name of an item is the value of the title property in the schema. The name of any other node is the value of a text
property called title, name, label or the like. A node without such a property has its key as name.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from kgplug.graph.schema import GraphSchema

KEY_NAMES = ("id", "uuid", "key", "code", "sku", "isbn", "asin", "ean", "iri", "uri", "url", "email", "slug", "编号")
TITLE_NAMES = ("title", "name", "label", "caption", "标题", "名称", "名字", "片名", "书名", "歌名", "姓名")
TITLE_PATTERN = "(?i).*(title|name)|(.*[^a-z])?(title|name)([^a-z].*)?"  # means the same in Java and in Python
_OWN = "kgplug_"

_TITLE = re.compile(TITLE_PATTERN, re.DOTALL)


def title_rank(name: str) -> int | None:
    """Return how well a property's name fits a title: 0 is best, larger is worse, None means not at all."""
    if name.startswith(_OWN):
        return None
    if name.lower() in TITLE_NAMES:
        return TITLE_NAMES.index(name.lower())
    return len(TITLE_NAMES) if _TITLE.fullmatch(name) else None


def named_keys(schema: GraphSchema) -> dict[str, str]:
    """Return label → key property. If a node has several of these labels, the first one and its key identify the node.

    The item label is first, then the labels under [knowledge.keys] in kgplug.toml, then the user label.
    """
    keys = {schema.item.label: schema.item.key, **dict(sorted(schema.knowledge.keys.items()))}
    return {**keys, schema.user.label: keys.get(schema.user.label, schema.user.key)}


def label_of(schema: GraphSchema, labels: Collection[str]) -> str:
    """Return the label that identifies a node, given all its labels.

    This is the one that comes first in `named_keys`. If none is there, it is the alphabetically first.
    """
    return next((label for label in named_keys(schema) if label in labels), min(labels, default=""))


def name_of(schema: GraphSchema, labels: Collection[str], properties: Mapping[str, Any]) -> object:
    """Return the readable name of a node with these labels and properties; None if it has no title and no key."""
    label = label_of(schema, labels)
    key = named_keys(schema).get(label)
    if label == schema.item.label:  # the schema names the title of items
        title = properties.get(schema.item.title or schema.item.key)
        return properties.get(schema.item.key) if title is None else title
    texts = [name for name, value in properties.items() if isinstance(value, str) and value.strip()]
    ranked = sorted((name == key, rank, name) for name in texts if (rank := title_rank(name)) is not None)
    if ranked:
        return properties[ranked[0][2]]
    keys = [key, *(name for known in KEY_NAMES for name in sorted(properties) if name.lower() == known)]
    return next((properties[name] for name in keys if name is not None and properties.get(name) is not None), None)
