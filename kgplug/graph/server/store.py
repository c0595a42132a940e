"""Which version of Neo4j serves a home folder, from which folder of data.

A newer Neo4j can open a store that an older one wrote. After that, the older one cannot open it any more. So each store
belongs to one version. The file store.json of a home folder names the store in use and, after an upgrade, the one
before it. This file is replaced as a whole, so a home folder always has exactly one store in use.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from kgplug.data.artefact import write_text_whole
from kgplug.errors import LocalServerError
from kgplug.graph.server.versions import FIRST, VERSIONS, Neo4jVersion
from kgplug.strict_json import dumps

_FIRST_FOLDER = "data"


@dataclass(frozen=True)
class Store:
    """A store of a home folder.

    Attributes:
        folder: folder with the server's data, databases and accounts.
        version: version of Neo4j that serves it; None if the folder is empty, so that any version can.
        before: the store from which an upgrade copied this one.
    """

    folder: Path
    version: Neo4jVersion | None
    before: Store | None = None

    @property
    def exists(self) -> bool:
        """Whether a server has written this store."""
        return (self.folder / "databases" / "system").exists()


def store_in_use(home: Path) -> Store:
    """Return the store in use of a home folder.

    Raises:
        LocalServerError: its version is none of those that this kgplug installs, or store.json is damaged.
    """
    try:
        recorded = _read(home, json.loads(_file(home).read_text(encoding="utf-8")))
    except FileNotFoundError:  # a home folder that was made before there was a choice
        recorded = Store(home / _FIRST_FOLDER, FIRST)
    except (ValueError, KeyError, TypeError) as error:
        raise LocalServerError(
            f"{_file(home)} is damaged. Expected version and data, for example "
            f'{{"version": "{FIRST.name}", "data": "{_FIRST_FOLDER}"}}: the folder of data to use, and the version of '
            "Neo4j that wrote it."
        ) from error
    return recorded if recorded.exists else Store(recorded.folder, None)


def new_store(home: Path, version: Neo4jVersion) -> Store:
    """Return the store to create in a home folder whose store in use is empty."""
    first = Store(home / _FIRST_FOLDER, version)
    return replace(first, folder=home / f"{_FIRST_FOLDER}-{version.name}") if first.exists else first


def use_store(home: Path, store: Store) -> None:
    """Record the store that a home folder uses from now on. Its version must be known."""
    write_text_whole(_file(home), dumps(_written(home, store), ascii_only=False) + "\n")


def trial_home(home: Path) -> Path:
    """Return the home folder in which an upgrade starts the newer version on a copy of the store."""
    return home / "upgrade"


def trial_copy(home: Path) -> Path:
    """Return the folder of that copy, until it becomes the store in use."""
    return trial_home(home) / _FIRST_FOLDER


def unused_stores(home: Path) -> list[Path]:
    """Return the folders of all other stores that a home folder keeps.

    They are from before an upgrade, from after an upgrade that was undone, or copies of an upgrade that was killed.
    """
    store = store_in_use(home)
    known = {*home.glob(f"{_FIRST_FOLDER}*"), trial_copy(home)} | ({store.before.folder} if store.before else set())
    used = store.folder.resolve()
    return sorted(one for one in known if (one / "databases").is_dir() and not used.is_relative_to(one.resolve()))


def _file(home: Path) -> Path:
    return home / "store.json"


def _read(home: Path, entry: dict[str, object]) -> Store:
    name, folder, before = entry["version"], entry["data"], entry.get("before")
    version = next((one for one in VERSIONS if one.name == name), None)
    if version is None:
        known = " and ".join(one.name for one in VERSIONS)
        raise LocalServerError(
            f"The store in {home / str(folder)} belongs to Neo4j {name}, but this kgplug installs only {known}. "
            "Use the version of kgplug with which you last used it."
        )
    return Store(home / str(folder), version, _read(home, before) if isinstance(before, dict) else None)


def _written(home: Path, store: Store) -> dict[str, object]:
    assert store.version is not None
    entry: dict[str, object] = {"version": store.version.name, "data": store.folder.relative_to(home).as_posix()}
    return entry if store.before is None else {**entry, "before": _written(home, store.before)}
