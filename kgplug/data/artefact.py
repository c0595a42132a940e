"""Artefacts: folders of safetensors and JSON files with hashes. Trained models are stored as artefacts.

A folder holds `arrays.safetensors`, `content.json` and `manifest.json`, which lists the other two with their sizes and
sha256. A new folder gets its name only when it is complete. To replace an artefact, new files are written next to the
old ones, then the manifest is replaced in one step. So a reader, or a process that restarts after it was killed, finds
either the old artefact or the new one. No pickle is ever read.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import psutil
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from kgplug.errors import RunError
from kgplug.settings import Settings
from kgplug.strict_json import dumps

ARRAYS, CONTENT, MANIFEST = "arrays.safetensors", "content.json", "manifest.json"
FORMAT = 1

T = TypeVar("T")
# Ids that this process has made. Without this set, if 50 ids were made in one second, two of them would be equal with
# a probability of 2 %.
_issued: set[str] = set()


def new_run_id(model: str) -> str:
    """Return a new run id of lower-case letters, digits and dashes, such as "mkr-20240131-101500-3fa2".

    Sorting a model's run ids as text also sorts them by time, to the second.
    """
    while True:
        run = f"{id_prefix(model)}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(2)}"
        if run not in _issued:
            _issued.add(run)
            return run


def id_prefix(model: str) -> str:
    """Return the prefix of a model's run ids, such as "wide-deep"."""
    return re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-") or "run"


def write_artefact(run_dir: Path, arrays: dict[str, np.ndarray], content: dict[str, Any]) -> None:
    """Write an artefact into a folder, replacing any artefact in it. If writing fails, the old artefact stays intact.

    Args:
        run_dir: folder of the artefact, created if missing.
        arrays: numeric arrays by name.
        content: other facts to store, by name; all values must be JSON-serialisable.

    Raises:
        RunError: the folder exists and is not an artefact, or the disk refused to write.
    """
    run_dir = Path(run_dir)
    replaced = _read_manifest(run_dir) if (run_dir / MANIFEST).exists() else None
    if replaced is None and run_dir.exists() and (not run_dir.is_dir() or any(run_dir.iterdir())):
        raise RunError(f"{run_dir} exists and is not a run, so it was not changed. Choose another folder.")
    with disk_errors(run_dir):
        run_dir.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(run_dir.parent)
        building = Path(tempfile.mkdtemp(prefix=f".{run_dir.name}.{os.getpid()}.building-", dir=run_dir.parent))
        try:
            _write_files(building, arrays, content)
            if replaced is None:
                building.chmod(0o755)
                building.rename(run_dir)
            else:
                _replace_files(building, run_dir)
            flush_to_disk(run_dir.parent)
        finally:
            shutil.rmtree(building, ignore_errors=True)


@contextmanager
def disk_errors(path: Path) -> Generator[None]:
    """Context manager: turn a disk error during a write into a RunError that says what to do.

    Args:
        path: file or folder that is being written. If the write fails, its previous version is still intact.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        reported = error.strerror if isinstance(error, OSError) else None
        reason = reported or str(error).rpartition("I/O error: ")[2].partition(" (os error")[0]
        raise RunError(
            f"{path} could not be written: {reason}. Any previous version is intact. {_advice(path, error, reason)}"
        ) from error


def _advice(path: Path, error: BaseException, reason: str) -> str:
    """Return a sentence that says what to do about a disk error."""
    full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left" in reason
    home = Settings().kgplug_home
    in_home = path.absolute().is_relative_to(home.absolute())
    elsewhere = "set KGPLUG_HOME to another disk" if in_home else "choose another folder"
    first = "Free some space" if full else f"Check the disk and the permissions of {path.parent}"
    return f"{first}, or {elsewhere}, then try again."


def _remove_abandoned(parent: Path) -> None:
    """Remove the unfinished folders in `parent` that processes left when they were killed."""
    for path in parent.glob(".*.building-*"):
        writer = path.name.split(".building-")[0].rpartition(".")[2]
        if writer.isdigit() and not psutil.pid_exists(int(writer)):
            shutil.rmtree(path, ignore_errors=True)


def _write_files(building: Path, arrays: dict[str, np.ndarray], content: dict[str, Any]) -> None:
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, building / ARRAYS)
    (building / CONTENT).write_text(dumps(content, indent=1), encoding="utf-8")
    _write_manifest(building, {ARRAYS: ARRAYS, CONTENT: CONTENT})
    for name in (ARRAYS, CONTENT, MANIFEST):
        flush_to_disk(building / name)
    flush_to_disk(building)


def _write_manifest(building: Path, names: dict[str, str]) -> None:
    """Write the manifest of the two files in the folder `building`.

    Args:
        building: folder of a new artefact that is not yet complete.
        names: "arrays.safetensors" and "content.json" → the name that the file gets in the finished artefact.
    """
    files = {
        part: {"name": name, "bytes": (building / part).stat().st_size, "sha256": sha256_of(building / part)}
        for part, name in names.items()
    }
    text = dumps({"format": FORMAT, "files": files}, indent=1)
    (building / MANIFEST).write_text(text, encoding="utf-8")


def _replace_files(building: Path, run_dir: Path) -> None:
    """Move new files into an artefact's folder under new names, replace the manifest, then delete the old files."""
    token = secrets.token_hex(4)
    names = {part: f"{Path(part).stem}-{token}{Path(part).suffix}" for part in (ARRAYS, CONTENT)}
    _write_manifest(building, names)
    flush_to_disk(building / MANIFEST)
    for part, name in names.items():
        (building / part).rename(run_dir / name)
    flush_to_disk(run_dir)
    (building / MANIFEST).replace(run_dir / MANIFEST)
    flush_to_disk(run_dir)
    for path in (*run_dir.glob("arrays*.safetensors"), *run_dir.glob("content*.json")):
        if path.name not in names.values():
            path.unlink(missing_ok=True)


def read_artefact(run_dir: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return (arrays, content) of an artefact after checking its hashes.

    Raises:
        RunError: the folder is missing, truncated, altered or in another format.
    """

    def read(run_dir: Path, files: dict[str, dict[str, Any]]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        for file in files.values():
            _check_hash(run_dir, file)
        try:
            return load_file(run_dir / files[ARRAYS]["name"]), _parse_content(run_dir, files[CONTENT])
        except (SafetensorError, OSError, ValueError, KeyError) as error:
            raise RunError(f"{run_dir}: {ARRAYS} cannot be read ({error}). Train again.") from error

    return _read_settled(Path(run_dir), read)


def read_content(run_dir: Path) -> dict[str, Any]:
    """Return the content of an artefact after checking the hashes of all its files.

    Raises:
        RunError: the folder is missing, truncated, altered or in another format.
    """

    def read(run_dir: Path, files: dict[str, dict[str, Any]]) -> dict[str, Any]:
        for file in files.values():
            _check_hash(run_dir, file)
        return _parse_content(run_dir, files[CONTENT])

    return _read_settled(Path(run_dir), read)


def peek_content(run_dir: Path) -> dict[str, Any]:
    """Return the content of an artefact after checking its hash. Of the arrays' file, only the size is checked.

    Raises:
        RunError: the folder is missing, truncated, altered or in another format.
    """

    def read(run_dir: Path, files: dict[str, dict[str, Any]]) -> dict[str, Any]:
        _check_size(run_dir, files[ARRAYS])
        _check_hash(run_dir, files[CONTENT])
        return _parse_content(run_dir, files[CONTENT])

    return _read_settled(Path(run_dir), read)


def count_numbers(run_dir: Path, prefixes: tuple[str, ...]) -> int:
    """Count a model's parameters: the floating-point numbers in arrays whose names start with one of `prefixes`.

    Arrays with a single number are not counted, because most of them are not parameters but the state of a
    regulariser. The arrays themselves are not read.
    """

    def read(run_dir: Path, files: dict[str, dict[str, Any]]) -> int:
        _check_size(run_dir, files[ARRAYS])
        with safe_open(run_dir / files[ARRAYS]["name"], framework="numpy") as file:
            slices = [file.get_slice(name) for name in file.keys() if name.startswith(prefixes)]  # noqa: SIM118
            kept = [each.get_shape() for each in slices if each.get_dtype().startswith("F")]
        return sum(size for size in map(math.prod, kept) if size > 1)

    return _read_settled(Path(run_dir), read)


def read_arrays(run_dir: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the named arrays of an artefact; missing names are skipped. The hash of the file is not checked."""

    def read(run_dir: Path, files: dict[str, dict[str, Any]]) -> dict[str, np.ndarray]:
        _check_size(run_dir, files[ARRAYS])
        with safe_open(run_dir / files[ARRAYS]["name"], framework="numpy") as file:
            return {name: file.get_tensor(name) for name in set(file.keys()) & set(names)}

    return _read_settled(Path(run_dir), read)


def _read_settled(run_dir: Path, read: Callable[[Path, dict[str, dict[str, Any]]], T]) -> T:
    """Call `read` with the folder and the entries of its manifest, and return the result.

    If `read` fails because another process replaced the artefact meanwhile, it is called again.
    """
    while True:
        files = _read_manifest(run_dir)
        try:
            return read(run_dir, files)
        except (RunError, OSError, ValueError, SafetensorError) as error:
            if _read_manifest(run_dir) == files:
                if isinstance(error, RunError):
                    raise
                raise RunError(f"{run_dir} cannot be read: {error}.") from error


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_manifest(run_dir: Path) -> dict[str, dict[str, Any]]:
    """Return the manifest's entries: "arrays.safetensors" and "content.json" → the file's {name, bytes, sha256}.

    A file's name on disk differs from these two after the artefact was replaced.
    """
    try:
        manifest = json.loads((run_dir / MANIFEST).read_text(encoding="utf-8"))
        version, files = manifest["format"], {part: dict(manifest["files"][part]) for part in (ARRAYS, CONTENT)}
        whole = all(
            Path(file["name"]).name == file["name"] and {"bytes", "sha256"} < set(file) for file in files.values()
        )
    except (FileNotFoundError, NotADirectoryError):
        raise RunError(f"{run_dir} is not a run: it has no {MANIFEST}. `kgplug runs` lists the runs.") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise RunError(f"{run_dir}: {MANIFEST} is damaged ({error!r}). Train again.") from error
    if not whole:
        raise RunError(f"{run_dir}: {MANIFEST} is damaged. Train again.")
    if version != FORMAT:
        raise RunError(f"{run_dir}: expected format {FORMAT}, found {version}. Use the kgplug version that wrote it.")
    return files


def _check_size(run_dir: Path, file: dict[str, Any]) -> None:
    try:
        found = (run_dir / file["name"]).stat().st_size
    except OSError:
        raise RunError(f"{run_dir}: {file['name']} is missing. Train again.") from None
    if found != file["bytes"]:
        raise _altered(run_dir, file["name"])


def _check_hash(run_dir: Path, file: dict[str, Any]) -> None:
    _check_size(run_dir, file)
    if sha256_of(run_dir / file["name"]) != file["sha256"]:
        raise _altered(run_dir, file["name"])


def _altered(run_dir: Path, name: str) -> RunError:
    return RunError(
        f"{run_dir}: {name} is truncated or altered (its size or sha256 differs from {MANIFEST}). Train again."
    )


def _parse_content(run_dir: Path, file: dict[str, Any]) -> dict[str, Any]:
    try:
        content = json.loads((run_dir / file["name"]).read_bytes())
    except (ValueError, RecursionError) as error:
        raise RunError(f"{run_dir}: {CONTENT} is damaged ({error}). Train again.") from error
    if not isinstance(content, dict):
        raise RunError(f"{run_dir}: {CONTENT} does not describe a run. Train again.")
    return content


def write_text_whole(path: Path, text: str) -> None:
    """Write a text file in UTF-8, replacing any file of the same name.

    Even if the process is killed or the disk is full, `path` holds either the complete old file or the complete new
    one.

    Raises:
        OSError: the disk refused to write.
    """
    building = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        building.write_text(text, encoding="utf-8")
        flush_to_disk(building)
        building.replace(path)
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        building.unlink(missing_ok=True)


def flush_to_disk(path: Path) -> None:
    """Wait until a file's content, or a folder's list of files, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
