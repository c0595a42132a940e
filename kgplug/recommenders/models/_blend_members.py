"""The members of a blend: their names and classes, and their arrays in a saved blend."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np

from kgplug.data.artefact import peek_content
from kgplug.data.erasure.item_arrays import ItemArrays
from kgplug.data.erasure.user_arrays import UserArrays
from kgplug.errors import UsageError, unknown_name
from kgplug.recommenders.base import Recommender
from kgplug.recommenders.catalogue import RECOMMENDERS

BLEND = "Blend"  # cannot be a member of itself


def listed(members: str) -> list[str]:
    """Split a comma-separated text into its members; raise UsageError if there are none."""
    names = [name.strip() for name in members.split(",") if name.strip()]
    if not names:
        raise UsageError("Blend: members: expected names of recommenders such as CEASE,MKR; found none.")
    return names


def class_of(member: str) -> type[Recommender]:
    """Return the class of a member, given the name of a model or the folder of a run."""
    if Path(member).is_dir():
        member = str(peek_content(Path(member)).get("model"))
    names = {name.lower(): name for name in RECOMMENDERS if name != BLEND}
    if member.lower() not in names:
        raise unknown_name("member of Blend", member, list(names.values()))
    module, _, kind = RECOMMENDERS[names[member.lower()]].home.partition(":")
    return getattr(importlib.import_module(f"kgplug.recommenders.models.{module}"), kind)


class UsersOfMembers(UserArrays):
    """The user data in the arrays of a blend. `without` erases a user from the arrays of each member."""

    def without(self, arrays: dict[str, np.ndarray], user: int) -> dict[str, np.ndarray]:
        kept = dict(arrays)
        for mark, own in by_member(arrays).items():
            kept |= _marked(mark, _removal(mark).without(own, user))
        return kept


class ItemsOfMembers(ItemArrays):
    """The item data in the arrays of a blend. `without` erases an item from the arrays of each member."""

    def without(self, arrays: dict[str, np.ndarray], item: int) -> dict[str, np.ndarray]:
        kept = dict(arrays)
        for mark, own in by_member(arrays).items():
            removal = _removal(mark).items
            assert removal is not None  # every recommender of kgplug declares them
            kept |= _marked(mark, removal.without(own, item))
        return kept


def by_member(arrays: dict[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """Group a saved blend's arrays by member: mark → the member's arrays, under the names that the member itself uses.

    A mark is the prefix of a member's arrays in a saved blend: the member's number and model, such as "0.CEASE.".
    """
    found: dict[str, dict[str, np.ndarray]] = {}
    for name, array in arrays.items():
        number, _, rest = name.partition(".")
        if number.isdigit():
            model, _, own = rest.partition(".")
            found.setdefault(f"{number}.{model}.", {})[own] = array
    return found


def _marked(mark: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{mark}{name}": array for name, array in arrays.items()}


def _removal(mark: str) -> UserArrays:
    """Return the `UserArrays` of the model that a mark names: those of CEASE for the mark "0.CEASE."."""
    removal = class_of(mark.split(".")[1]).user_arrays()
    assert removal is not None  # every recommender of kgplug declares them
    return removal
