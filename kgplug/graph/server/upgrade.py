"""Move the local Neo4j to a newer version, and back.

A newer Neo4j changes a store when it opens it, so an upgrade never touches the store in use. It copies the store, and
starts the newer version on the copy, in a home folder of its own. Only if this works does the home folder use the copy.
The old store stays as it was, so one can go back to it. If an upgrade is killed, the old store is still the one in use.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from kgplug.errors import LocalServerError
from kgplug.graph.server.config import password_file
from kgplug.graph.server.install import disk_error, install
from kgplug.graph.server.local import LocalNeo4j
from kgplug.graph.server.store import Store, trial_copy, trial_home, use_store
from kgplug.graph.server.versions import NEWEST, VERSIONS, Neo4jVersion, version_named
from kgplug.progress import stage

_SPARE_BYTES = 300_000_000  # kept free for the database, next to the copy


def upgrade(server: LocalNeo4j, version: str | None = None, *, progress: bool | None = None) -> Store:
    """Copy the store of a local Neo4j, and let a newer version serve the copy.

    A running server is stopped, and started again afterwards.

    Args:
        server: the local Neo4j.
        version: name of the newer version. Default: the newest.
        progress: see `LocalNeo4j.start`.

    Returns:
        The store that is now in use; its `before` is the old one. If it already belongs to this version, nothing is
        changed.

    Raises:
        UsageError: kgplug does not install this version.
        LocalServerError: there is no store, the version is older than the store's, the disk is full, or the newer
            version cannot open the copy. The old store is still in use then.
    """
    new = NEWEST if version is None else version_named(version)
    store = server.store
    if _is_upgraded(server.home, store, new):
        return store
    try:
        install(server.jars, new, progress=progress)  # while the old version still serves
        with server.while_stopped(progress=progress):
            store = server.store  # another process may have upgraded it before this one got the lock
            return store if _is_upgraded(server.home, store, new) else _upgraded(server, store, new, progress)
    except OSError as error:
        raise disk_error(server.home, error) from error


def undo_upgrade(server: LocalNeo4j, *, progress: bool | None = None) -> Store:
    """Let a local Neo4j use the store from before its last upgrade again, without what was written since then.

    The newer store stays on disk until the next upgrade replaces it.

    Raises:
        LocalServerError: there was no upgrade, the old store was deleted, or the disk is full.
    """
    _store_before(server)
    try:
        with server.while_stopped(progress=progress):
            old = _store_before(server)  # another process may have undone the upgrade before this one got the lock
            use_store(server.home, old)
    except OSError as error:
        raise disk_error(server.home, error) from error
    return old


def _is_upgraded(home: Path, store: Store, new: Neo4jVersion) -> bool:
    """Return whether a store belongs to a version already; raise LocalServerError if it cannot be moved to it."""
    if store.version is None:
        raise LocalServerError(f"There is no store in {home} yet. `kgplug db start --version {new.name}` creates one.")
    if VERSIONS.index(new) < VERSIONS.index(store.version):
        raise LocalServerError(
            f"The store in {home} belongs to {store.version}, and {new} cannot open a store of a newer version. "
            "`kgplug db upgrade --undo` goes back to the copy from before an upgrade, if there is one."
        )
    return store.version == new


def _store_before(server: LocalNeo4j) -> Store:
    """Return the store from before the last upgrade; raise LocalServerError if there is none."""
    old = server.store.before
    if old is None or not old.exists:
        missing = "has not been upgraded" if old is None else f"was upgraded, but its old store {old.folder} is missing"
        raise LocalServerError(f"The local Neo4j in {server.home} {missing}, so there is no upgrade to undo.")
    return old


def _upgraded(server: LocalNeo4j, old: Store, new: Neo4jVersion, progress: bool | None) -> Store:
    """Do the work of `upgrade`, while the server is stopped."""
    store = Store(server.home / f"data-{new.name}", new, before=replace(old, before=None))
    for target in (store.folder, trial_home(server.home)):
        _check_not_in_use(target, old.folder)
    server.discard_trial()
    shutil.rmtree(trial_home(server.home), ignore_errors=True)
    _check_space(server.home, old.folder)
    trial = LocalNeo4j(trial_home(server.home), jars=server.jars, version=new.name)
    trial.home.mkdir(mode=0o700)
    try:
        copy = Store(trial_copy(server.home), new)
        with stage("Copying the store", progress=progress):
            shutil.copytree(old.folder, copy.folder)
        shutil.copy2(password_file(server.home), password_file(trial.home))
        use_store(trial.home, copy)
        trial.start(progress=progress, die_with_parent=True)
        trial.stop()
        shutil.rmtree(store.folder, ignore_errors=True)  # of an upgrade that was undone or killed
        _move_into_use(server, copy, store)
    except LocalServerError as error:
        server.discard_trial()  # the rest stays, because the message names its log
        raise LocalServerError(f"{new} cannot serve a copy of the store, so nothing was changed. {error}") from error
    except BaseException:
        server.discard_trial()
        shutil.rmtree(trial.home, ignore_errors=True)
        raise
    shutil.rmtree(trial.home, ignore_errors=True)
    if old.before is not None:
        shutil.rmtree(old.before.folder, ignore_errors=True)
    return store


def _move_into_use(server: LocalNeo4j, copy: Store, store: Store) -> None:
    """Move a copy to the folder of a store, and let the server use that store. Delete the copy if this fails."""
    copy.folder.rename(store.folder)
    try:
        use_store(server.home, store)
    except BaseException:
        if server.store.folder != store.folder:
            shutil.rmtree(store.folder, ignore_errors=True)
        raise


def _check_not_in_use(target: Path, used: Path) -> None:
    """Raise LocalServerError if a folder that an upgrade replaces is, or contains, the folder of the store in use."""
    if used.resolve().is_relative_to(target.resolve()):
        raise LocalServerError(
            f"The upgrade would replace {target}, but the store in use is in {used}. Stop the local Neo4j, rename the "
            'folder of its store, and write the new name as "data" into store.json. Then run the command again.'
        )


def _check_space(home: Path, store: Path) -> None:
    """Raise LocalServerError if the disk has no room for a copy of a store."""
    needed = sum(path.stat().st_size for path in store.rglob("*") if path.is_file()) + _SPARE_BYTES
    free = shutil.disk_usage(home).free
    if free < needed:
        raise LocalServerError(
            f"An upgrade copies the store, which needs {needed / 1e6:.0f} MB in {home}, but only {free / 1e6:.0f} MB "
            "are free. Free some space, then run the command again."
        )
