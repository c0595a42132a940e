"""Folders of safetensors + JSON with hashes: how everything trained is kept on disk.

A folder holds `arrays.safetensors`, `content.json` and `manifest.json` (sha256 of the other
two). It appears under its name only when it is whole, and no pickle is ever read.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from kgplug.errors import RunError

ARRAYS, CONTENT, MANIFEST = "arrays.safetensors", "content.json", "manifest.json"
FORMAT = 1


def new_run_id(model: str) -> str:
    """Return a new id for a run: sortable by time; lower-case letters, digits and dashes."""
    name = re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-")
    return f"{name}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(2)}"


def write_artefact(folder: Path, arrays: dict[str, np.ndarray], content: dict) -> None:
    """Write a whole artefact, replacing one of the same name.

    Args:
        folder: where it shall stand.
        arrays: name → array of numbers.
        content: JSON-able facts.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, building / ARRAYS)
        (building / CONTENT).write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
        hashes = {name: sha256_of(building / name) for name in (ARRAYS, CONTENT)}
        (building / MANIFEST).write_text(json.dumps({"format": FORMAT, "sha256": hashes}, indent=1), encoding="utf-8")
        for name in (ARRAYS, CONTENT, MANIFEST):
            _flush_to_disk(building / name)
        building.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        building.rename(folder)
        _flush_to_disk(folder.parent)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise


def read_artefact(folder: Path) -> tuple[dict[str, np.ndarray], dict]:
    """Return (arrays, content) of an artefact after checking its hashes.

    Raises:
        RunError: the folder is missing, cut short, altered or of another format.
    """
    content = read_content(folder)
    try:
        return load_file(Path(folder) / ARRAYS), content
    except (SafetensorError, OSError) as error:
        raise RunError(f"{folder}: {ARRAYS} cannot be read ({error}). Train again.") from error


def read_content(folder: Path) -> dict:
    """Return the JSON part of an artefact after checking the hashes of all its files."""
    folder = Path(folder)
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        expected, version = dict(manifest["sha256"]), manifest["format"]
    except FileNotFoundError:
        raise RunError(f"{folder} is not a run: it has no {MANIFEST}. See `kgplug runs` for those that are.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{folder}: {MANIFEST} is damaged ({error}). Train again.") from error
    if version != FORMAT:
        raise RunError(f"{folder}: expected format {FORMAT}, found {version}. Use the kgplug version that wrote it.")
    for name in (ARRAYS, CONTENT):
        path = folder / name
        if not path.is_file():
            raise RunError(f"{folder}: {name} is missing. Train again.")
        if sha256_of(path) != expected.get(name):
            raise RunError(
                f"{folder}: {name} is cut short or was altered (its sha256 is not the one in {MANIFEST}). Train again."
            )
    return json.loads((folder / CONTENT).read_text(encoding="utf-8"))


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
