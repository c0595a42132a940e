"""The readable name of a node, by one rule for `kgplug init`, the shipped queries, explanations and figure captions.

The name of an item is the value of the title property in the schema. The name of any other node is the value of a text
property called title, name, label or the like. A node without such a property has its key as name.

A key that people cannot read, such as a UUID, a long number or "m.0hcgq2b", is not a readable name. Reasons and
captions describe a node without a readable name in words: "an actor they share".
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from kgplug.graph.schema import GraphSchema

KEY_NAMES = ("id", "uuid", "key", "code", "sku", "isbn", "asin", "ean", "iri", "uri", "url", "email", "slug", "编号")
TITLE_NAMES = ("title", "name", "label", "caption", "标题", "名称", "名字", "片名", "书名", "歌名", "姓名")
TITLE_PATTERN = "(?i).*(title|name)|(.*[^a-z])?(title|name)([^a-z].*)?"  # means the same in Java and in Python
OPAQUE_PATTERN = (  # means the same in Java and in Python
    "([A-Za-z][0-9A-Za-z+.-]*:[^ ]*[/#=:])?("  # the start of a URI
    "-?[0-9]{5,}([.]0)?"  # long number
    "|([0-9][ .-]?){8,}[0-9Xx]"  # ISBN, phone number
    "|[{]?[0-9A-Fa-f]{8}(-?[0-9A-Fa-f]{4}){3}-?[0-9A-Fa-f]{12}[}]?"  # UUID
    "|(0x)?(?=[A-Fa-f]*[0-9])[0-9A-Fa-f]{8,}"  # hash
    "|[A-Za-z]{1,4}[._:/#-]?[0-9]{4,}[A-Za-z]?"  # nm0000158, Q42001, P-10023
    "|/?[mg][./][01][0-9a-z_]{2,}"  # Freebase
    "|(?=.*[0-9][A-Za-z]+[0-9])[0-9A-Za-z_-]{8,}"  # B00005N5PF
    ")"
)
_OWN = "kgplug_"

_TITLE = re.compile(TITLE_PATTERN, re.DOTALL)
_OPAQUE = re.compile(OPAQUE_PATTERN)


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
    return next((value for value, _ in _names(schema, labels, properties)), None)


def readable_name_of(schema: GraphSchema, labels: Collection[str], properties: Mapping[str, Any]) -> object:
    """Return the same as `name_of`, but never a key that people cannot read; None if the node has no other name."""
    names = _names(schema, labels, properties)
    return next((value for value, is_title in names if is_title or is_readable(value)), None)


def is_readable(key: object) -> bool:
    """Return whether people can read a key: "Comedy" and 1995, but not a UUID, a long number, a hash or the like."""
    return isinstance(key, (str, int, float)) and not _OPAQUE.fullmatch(str(key))


def description_of(schema: GraphSchema, labels: Collection[str], types: Collection[str]) -> str:
    """Return what a node is, in words: the label that fits its relationships or, without one, identifies the node.

    A label fits if it begins like a type, as Actor and ACTED_IN do. "ProductionCompany" becomes "production company".

    Args:
        schema: schema of the graph.
        labels: labels of the node.
        types: types of the relationships through which the node is shown. A label must fit all of them.
    """
    own = label_of(schema, labels)
    common = {label: min(_common_start(label, type_) for type_ in types) if types else 0 for label in sorted(labels)}
    best = max(common, key=lambda label: common[label], default=own)
    return _in_words(best if common.get(best, 0) >= _LEAST_COMMON else own)


_LEAST_COMMON = 3  # letters that a label and a type must have in common at their start


def _common_start(one: str, other: str) -> int:
    pairs = enumerate(zip(one.lower(), other.lower(), strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def _in_words(label: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_", " ", label).lower() or "node"


def with_article(words: str) -> str:
    """Return words with "a" or "an" before them. Words that do not begin with a letter from a to z stay as they are."""
    if not re.match("[a-z]", words):
        return words
    return f"{'an' if re.match('[aeio]|u(?!ni|s[aei])', words) else 'a'} {words}"


def _names(
    schema: GraphSchema, labels: Collection[str], properties: Mapping[str, Any]
) -> Iterator[tuple[object, bool]]:
    """Yield the values that can name a node, best first, each with whether it is a title (True) or a key (False)."""
    label = label_of(schema, labels)
    key = named_keys(schema).get(label)
    if label == schema.item.label:  # the schema names the title of items
        titles, keys = [schema.item.title], [schema.item.key]
    else:
        texts = [name for name, value in properties.items() if isinstance(value, str) and value.strip()]
        ranked = sorted((rank, name) for name in texts if (rank := title_rank(name)) is not None)
        titles = [name for _, name in ranked if name != key]
        keys = [key, *(name for known in KEY_NAMES for name in sorted(properties) if name.lower() == known)]
    for names, is_title in ((titles, True), (keys, False)):
        for name in names:
            if name is not None and properties.get(name) is not None:
                yield properties[name], is_title
