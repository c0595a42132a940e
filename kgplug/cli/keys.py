"""Convert keys typed on the command line to the type of the stored keys."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from kgplug.cli.console import err
from kgplug.errors import UsageError

_COMMANDS_WITH_KEY = ("recommend", "similar", "erase-user")

if TYPE_CHECKING:
    from kgplug.data.values.key_text import FoundKey
    from kgplug.graph.graph import Graph
    from kgplug.graph.schema import ItemSchema, UserSchema


def user_key(graph: Graph, text: str) -> int | str:
    """Return a user's key as the graph stores it; UsageError if no user has it."""
    return _found(graph, graph.schema.user, text)


def item_key(graph: Graph, text: str) -> int | str:
    """Return an item's key as the graph stores it; UsageError if no item has it."""
    return _found(graph, graph.schema.item, text)


def entity_key(run_dir: Path, text: str | None, *, label: str | None) -> int | str | None:
    """Return an entity's key as an embedding's run stores it; None if `text` is None.

    Args:
        run_dir: the run's folder.
        text: the key as typed.
        label: the entity's node label; None for any.
    """
    if text is None:
        return None
    from kgplug.data.artefact import peek_content
    from kgplug.data.values.key_text import choose_key, possible_keys

    content = peek_content(run_dir)
    keys, labels = content.get("entity_keys", []), content.get("entity_labels", [])
    of_label = keys if label is None else [key for key, its in zip(keys, labels, strict=True) if its == label]
    found = choose_key(text, of_label)
    if found is None:  # the model refuses this key with an error that lists similar keys
        return next((each for each in possible_keys(text) if isinstance(each, int)), text)
    say_which(found, label or "The model")
    return found.key


def parameters(graph: Graph, query: str, pairs: list[str]) -> dict[str, object]:
    """Return a shipped query's parameters from `name=value` texts: keys in their stored type, numbers parsed.

    Raises:
        UsageError: a pair has no value, the query has no such parameter, or no node has the key.
    """
    from kgplug.graph.queries import parameters as parameters_of

    names = parameters_of(query)
    kinds = {"user": user_key, "item": item_key}
    values: dict[str, object] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator or name not in names:
            there = f"parameters: {', '.join(names)}" if names else "it has no parameters"
            raise UsageError(f"-p {pair}: expected name=value with a parameter of this query; {there}.")
        if name in values:
            raise UsageError(f"-p {name} is given twice: {values[name]} and {text}. Give it once.")
        if name in kinds:
            values[name] = kinds[name](graph, text)
        else:
            values[name] = _number(name, text) if name in ("k", "like_threshold") else text
    return values


def _found(graph: Graph, part: UserSchema | ItemSchema, text: str) -> int | str:
    from kgplug.graph.find_key import find_key
    from kgplug.graph.members import condition_on

    found = find_key(graph.connection, part.label, part.key, text, where=condition_on(part, "n"))
    say_which(found, part.label)
    return found.key


def with_negative_key(arguments: list[str]) -> list[str]:
    """Return a command line's words. A key such as -1 is moved after "--", so that it is not parsed as an option."""
    for place, word in enumerate(arguments[1:], start=1):
        if re.fullmatch(r"-[0-9]+", word) and arguments[place - 1] in _COMMANDS_WITH_KEY and "--" not in arguments:
            return [*arguments[:place], *arguments[place + 1 :], "--", word]
    return arguments


def say_which(found: FoundKey, label: str) -> None:
    """If a typed key such as 42 fits both a stored number and a stored text, print which of the two is used.

    The note goes to standard error. `label` is the label of the nodes with these keys.
    """
    if found.other is not None:
        err.print(found.note(label), markup=False, soft_wrap=True)


def _number(name: str, text: str) -> int | float | None:
    if name == "like_threshold" and text.lower() in ("null", ""):
        return None
    try:
        number = int(text) if name == "k" else float(text)
        if number == number:  # NaN is refused, because no rating is at least NaN
            return number
        raise ValueError
    except ValueError:
        expected = "a whole number" if name == "k" else "a number or null"
        raise UsageError(f"-p {name}={text}: expected {expected}.") from None
