"""Folders of safetensors + JSON with hashes: how everything trained is kept on disk.

A folder holds `arrays.safetensors`, `content.json` and `manifest.json`, which names the other two
with their sizes and sha256. A new folder appears under its name only when it is whole. One that is
replaced gets the new files beside the old, then a new manifest in one step: whoever reads it, or
comes back after a kill, finds the old artefact or the new one. No pickle is ever read.
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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

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
_given: set[str] = set()  # ids of runs: of fifty within a second, two would be alike once in fifty times


def new_run_id(model: str) -> str:
    """Return a new id for a run: sortable by time; lower-case letters, digits and dashes."""
    while True:
        run = f"{id_prefix(model)}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(2)}"
        if run not in _given:
            _given.add(run)
            return run


def id_prefix(model: str) -> str:
    """Return what the ids of a model's runs begin with, such as "wide-deep"."""
    return re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-") or "run"


def write_artefact(folder: Path, arrays: dict[str, np.ndarray], content: dict) -> None:
    """Write a whole artefact, replacing one of the same name.

    Args:
        folder: where it shall stand.
        arrays: name → array of numbers.
        content: JSON-able facts.

    Raises:
        RunError: something that is no whole artefact stands at that place, which is left alone; or the disk refuses.
    """
    folder = Path(folder)
    replaced = _read_manifest(folder) if (folder / MANIFEST).exists() else None
    if replaced is None and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(f"{folder} exists and is not a run, so it was not changed. Choose another folder.")
    with disk_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(folder.parent)
        building = Path(tempfile.mkdtemp(prefix=f".{folder.name}.{os.getpid()}.building-", dir=folder.parent))
        try:
            _write_files(building, arrays, content)
            if replaced is None:
                building.chmod(0o755)
                building.rename(folder)
            else:
                _replace_files(building, folder)
            flush_to_disk(folder.parent)
        finally:
            shutil.rmtree(building, ignore_errors=True)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn what a disk refuses while something is written into a RunError with one sentence.

    Args:
        path: what is written, whole or not at all.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        told = error.strerror if isinstance(error, OSError) else None
        reason = told or str(error).rpartition("I/O error: ")[2].partition(" (os error")[0]
        raise RunError(
            f"{path} could not be written: {reason}. Any previous version is intact. {_advice(path, error, reason)}"
        ) from error


def _advice(path: Path, error: BaseException, reason: str) -> str:
    """Return what helps against a disk's refusal."""
    full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left" in reason
    home = Settings().kgplug_home
    in_home = path.absolute().is_relative_to(home.absolute())
    elsewhere = "set KGPLUG_HOME to another disk" if in_home else "choose another folder"
    first = "Free some space" if full else f"Check the disk and the permissions of {path.parent}"
    return f"{first}, or {elsewhere}, then try again."


def _remove_abandoned(parent: Path) -> None:
    """Remove what processes left behind that were killed while they wrote."""
    for path in parent.glob(".*.building-*"):
        writer = path.name.split(".building-")[0].rpartition(".")[2]
        if writer.isdigit() and not psutil.pid_exists(int(writer)):
            shutil.rmtree(path, ignore_errors=True)


def _write_files(building: Path, arrays: dict[str, np.ndarray], content: dict) -> None:
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, building / ARRAYS)
    (building / CONTENT).write_text(dumps(content, indent=1), encoding="utf-8")
    _write_manifest(building, {ARRAYS: ARRAYS, CONTENT: CONTENT})
    for name in (ARRAYS, CONTENT, MANIFEST):
        flush_to_disk(building / name)
    flush_to_disk(building)


def _write_manifest(building: Path, names: dict[str, str]) -> None:
    """Write the manifest of the files in `building`, which will be found under these names."""
    files = {
        part: {"name": name, "bytes": (building / part).stat().st_size, "sha256": sha256_of(building / part)}
        for part, name in names.items()
    }
    text = dumps({"format": FORMAT, "files": files}, indent=1)
    (building / MANIFEST).write_text(text, encoding="utf-8")


def _replace_files(building: Path, folder: Path) -> None:
    """Move new files into an artefact's folder under fresh names, then its manifest over the old one."""
    token = secrets.token_hex(4)
    names = {part: f"{Path(part).stem}-{token}{Path(part).suffix}" for part in (ARRAYS, CONTENT)}
    _write_manifest(building, names)
    flush_to_disk(building / MANIFEST)
    for part, name in names.items():
        (building / part).rename(folder / name)
    flush_to_disk(folder)
    (building / MANIFEST).replace(folder / MANIFEST)
    flush_to_disk(folder)
    for path in (*folder.glob("arrays*.safetensors"), *folder.glob("content*.json")):
        if path.name not in names.values():
            path.unlink(missing_ok=True)


def read_artefact(folder: Path) -> tuple[dict[str, np.ndarray], dict]:
    """Return (arrays, content) of an artefact after checking its hashes.

    Raises:
        RunError: the folder is missing, cut short, altered or of another format.
    """

    def read(folder: Path, files: dict[str, dict]) -> tuple[dict[str, np.ndarray], dict]:
        for file in files.values():
            _check_hash(folder, file)
        try:
            return load_file(folder / files[ARRAYS]["name"]), _parse_content(folder, files[CONTENT])
        except (SafetensorError, OSError, ValueError, KeyError) as error:
            raise RunError(f"{folder}: {ARRAYS} cannot be read ({error}). Train again.") from error

    return _read_settled(Path(folder), read)


def read_content(folder: Path) -> dict:
    """Return the JSON part of an artefact after checking the hashes of all its files."""

    def read(folder: Path, files: dict[str, dict]) -> dict:
        for file in files.values():
            _check_hash(folder, file)
        return _parse_content(folder, files[CONTENT])

    return _read_settled(Path(folder), read)


def peek_content(folder: Path) -> dict:
    """Return the JSON part of an artefact after checking its hash, and only the size of the arrays."""

    def read(folder: Path, files: dict[str, dict]) -> dict:
        _check_size(folder, files[ARRAYS])
        _check_hash(folder, files[CONTENT])
        return _parse_content(folder, files[CONTENT])

    return _read_settled(Path(folder), read)


def count_numbers(folder: Path, prefixes: tuple[str, ...]) -> int:
    """Return how many floating-point numbers those arrays hold whose names begin so; the arrays are not read.

    Arrays of a single number are left out: most are what a regulariser remembers.
    """

    def read(folder: Path, files: dict[str, dict]) -> int:
        _check_size(folder, files[ARRAYS])
        with safe_open(folder / files[ARRAYS]["name"], framework="numpy") as file:
            slices = [file.get_slice(name) for name in file.keys() if name.startswith(prefixes)]  # noqa: SIM118
            kept = [each.get_shape() for each in slices if each.get_dtype().startswith("F")]
        return sum(size for size in map(math.prod, kept) if size > 1)

    return _read_settled(Path(folder), read)


def read_arrays(folder: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return some arrays of an artefact, those of them that it has; of the file's hash nothing is checked."""

    def read(folder: Path, files: dict[str, dict]) -> dict[str, np.ndarray]:
        _check_size(folder, files[ARRAYS])
        with safe_open(folder / files[ARRAYS]["name"], framework="numpy") as file:
            return {name: file.get_tensor(name) for name in set(file.keys()) & set(names)}

    return _read_settled(Path(folder), read)


def _read_settled(folder: Path, read: Callable[[Path, dict[str, dict]], T]) -> T:
    """Read the files of the manifest; read again when the artefact was replaced meanwhile."""
    while True:
        files = _read_manifest(folder)
        try:
            return read(folder, files)
        except (RunError, OSError, ValueError, SafetensorError) as error:
            if _read_manifest(folder) == files:
                if isinstance(error, RunError):
                    raise
                raise RunError(f"{folder} cannot be read: {error}.") from error


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_manifest(folder: Path) -> dict[str, dict]:
    """Return part → {name, bytes, sha256}."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        version, files = manifest["format"], {part: dict(manifest["files"][part]) for part in (ARRAYS, CONTENT)}
        whole = all(
            Path(file["name"]).name == file["name"] and {"bytes", "sha256"} < set(file) for file in files.values()
        )
    except (FileNotFoundError, NotADirectoryError):
        raise RunError(f"{folder} is not a run: it has no {MANIFEST}. See `kgplug runs` for those that are.") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise RunError(f"{folder}: {MANIFEST} is damaged ({error!r}). Train again.") from error
    if not whole:
        raise RunError(f"{folder}: {MANIFEST} is damaged. Train again.")
    if version != FORMAT:
        raise RunError(f"{folder}: expected format {FORMAT}, found {version}. Use the kgplug version that wrote it.")
    return files


def _check_size(folder: Path, file: dict) -> None:
    try:
        found = (folder / file["name"]).stat().st_size
    except OSError:
        raise RunError(f"{folder}: {file['name']} is missing. Train again.") from None
    if found != file["bytes"]:
        raise _altered(folder, file["name"])


def _check_hash(folder: Path, file: dict) -> None:
    _check_size(folder, file)
    if sha256_of(folder / file["name"]) != file["sha256"]:
        raise _altered(folder, file["name"])


def _altered(folder: Path, name: str) -> RunError:
    return RunError(
        f"{folder}: {name} is truncated or altered (its size or sha256 differs from {MANIFEST}). Train again."
    )


def _parse_content(folder: Path, file: dict) -> dict:
    try:
        content = json.loads((folder / file["name"]).read_bytes())
    except (ValueError, RecursionError) as error:
        raise RunError(f"{folder}: {CONTENT} is damaged ({error}). Train again.") from error
    if not isinstance(content, dict):
        raise RunError(f"{folder}: {CONTENT} does not describe a run. Train again.")
    return content


def write_text_whole(path: Path, text: str) -> None:
    """Write a text file in UTF-8, replacing one of the same name: a kill or a full disk leaves the old one or the new.

    Raises:
        OSError: the disk refuses.
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
    """Wait until a file's content, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
