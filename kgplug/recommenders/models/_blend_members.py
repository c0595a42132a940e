"""The members of a blend: their names and classes, and their arrays in a saved blend."""

from __future__ import annotations

import os
from json import loads
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from kgplug.data.artefact import disk_errors, peek_content
from kgplug.data.erasure.item_arrays import ItemArrays
from kgplug.data.erasure.user_arrays import UserArrays
from kgplug.data.values.keys import fingerprint as fingerprint_of
from kgplug.errors import UsageError, unknown_name
from kgplug.recommenders.base import Recommender
from kgplug.recommenders.catalogue import RECOMMENDERS
from kgplug.strict_json import dumps

BLEND = "Blend"  # cannot be a member of itself
_SHARED = (  # attributes that a restored member takes from the blend
    "user_keys", "item_keys", "user_label", "item_label", "own_items", "erased_items", "seen", "liked", "seed", "run",
    "graph_schema",
)  # fmt: skip


def listed(members: str) -> list[str]:
    """Split a comma-separated list of members. Raise UsageError if the list is empty."""
    names = [name.strip() for name in members.split(",") if name.strip()]
    if not names:
        raise UsageError("Blend: members: expected names of recommenders such as CEASE,MKR; found none.")
    return names


def run_of(member: str) -> Path | None:
    """Return `member` as a path if it is a run's folder, not the name of a model; otherwise return None."""
    known = {name.lower() for name in RECOMMENDERS}
    return Path(member) if member.lower() not in known and Path(member).is_dir() else None


def class_of(member: str) -> type[Recommender]:
    """Return the recommender class of a member.

    Args:
        member: Name of a model, or path of a run's folder.
    """
    run_dir = run_of(member)
    if run_dir is not None:
        member = str(peek_content(run_dir).get("model"))
    names = {name.lower(): name for name in RECOMMENDERS if name != BLEND}
    if member.lower() not in names:
        raise unknown_name("member of Blend", member, list(names.values()))
    return RECOMMENDERS[names[member.lower()]].load()


def restored(name: str, settings: dict[str, Any], arrays: dict[str, np.ndarray], blend: Recommender) -> Recommender:
    """Return a trained member, rebuilt from saved settings and arrays. Users, items and likes come from the blend.

    Args:
        name: Name of the member's model.
        settings: Saved settings.
        arrays: Saved arrays, under the names that the member itself uses.
        blend: The blend that the member belongs to.
    """
    kind = class_of(name)
    settings = kind.config_class.of_saved(settings)
    if "device" in settings:
        from kgplug.training.device import device_at_hand  # torch

        settings["device"] = device_at_hand(settings["device"])
    member = kind(**settings)
    for shared in _SHARED:
        setattr(member, shared, getattr(blend, shared))
    member.history, member.health, member.tried = {}, [], []
    member._take_state(arrays)
    return member


def keep(path: Path, member: Recommender, fingerprint: str) -> None:
    """Write a trained member to a file.

    If the training of the blend is interrupted later, its next start loads this member instead of training it again.

    Args:
        path: The file.
        member: The trained member.
        fingerprint: Fingerprint of the member's training data and settings.
    """
    arrays = {name: np.ascontiguousarray(array) for name, array in member._state().items()}
    facts = {
        "fingerprint": fingerprint, "content": _digest(arrays), "settings": member.config.model_dump(),
        "history": member.history,
    }  # fmt: skip
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.stem}-{os.getpid()}{path.suffix}")  # deleted when the blend has finished
        save_file(arrays, temporary, {"kgplug": dumps(facts)})
        temporary.replace(path)


def kept(path: Path, name: str, fingerprint: str, blend: Recommender) -> Recommender | None:
    """Return the member that `keep` wrote to a file.

    Args:
        path: The file.
        name: Name of the member's model.
        fingerprint: Fingerprint of the current training data and settings.
        blend: The blend that the member belongs to.

    Returns:
        The trained member; None if the file is missing, damaged, or has another fingerprint.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            facts = loads((file.metadata() or {})["kgplug"])
            if facts["fingerprint"] != fingerprint:
                return None
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
        if facts["content"] != _digest(arrays):
            return None
        member = restored(name, facts["settings"], arrays, blend)
    except (SafetensorError, OSError, KeyError, ValueError, TypeError):
        return None
    member.history = facts["history"]
    return member


def _digest(arrays: dict[str, np.ndarray]) -> str:
    return fingerprint_of(*sorted(arrays), *(arrays[name] for name in sorted(arrays)))


class UsersOfMembers(UserArrays):
    """The user data in the arrays of a saved blend. `without` erases a user from the arrays of each member."""

    def without(self, arrays: dict[str, np.ndarray], user: int) -> dict[str, np.ndarray]:
        kept = dict(arrays)
        for mark, own in by_member(arrays).items():
            kept |= _marked(mark, _removal(mark).without(own, user))
        return kept


class ItemsOfMembers(ItemArrays):
    """The item data in the arrays of a saved blend. `without` erases an item from the arrays of each member."""

    def without(self, arrays: dict[str, np.ndarray], item: int) -> dict[str, np.ndarray]:
        kept = dict(arrays)
        for mark, own in by_member(arrays).items():
            removal = _removal(mark).items
            assert removal is not None  # every recommender of kgplug declares them
            kept |= _marked(mark, removal.without(own, item))
        return kept


def by_member(arrays: dict[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """Group the arrays of a saved blend by member.

    In a saved blend, the names of a member's arrays have a prefix: the member's number and model, such as "0.CEASE.".
    The result maps each prefix to the member's arrays, under their names without the prefix.
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
    """Return the names of the arrays of a member's model that contain user data.

    Args:
        mark: Prefix of the member's arrays in a saved blend, such as "0.CEASE.".
    """
    removal = class_of(mark.split(".")[1]).user_arrays()
    assert removal is not None  # every recommender of kgplug declares them
    return removal
