"""Downloads that are always complete and checked on every use: wheels through pip, and folders written from them."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kgplug.errors import DataError
from kgplug.settings import child_environment
from kgplug.strict_json import dumps

_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Wheel:
    """A wheel on PyPI that contains data.

    Attributes:
        requirement: Package and version, e.g. "recbole==1.2.1".
        file_name: Name of the file.
        sha256: Its hash, 64 hexadecimal digits.
    """

    requirement: str
    file_name: str
    sha256: str


def download_wheel(wheel: Wheel, downloads_dir: Path, *, what: str) -> Path:
    """Return the path of a wheel's file; download it if it is missing or has the wrong hash.

    Args:
        wheel: The wheel.
        downloads_dir: Folder to keep it in.
        what: Name of its data, for messages.

    Raises:
        DataError: the wheel cannot be downloaded, or pip downloads another file.
    """
    path = downloads_dir / wheel.file_name
    if path.is_file() and _sha256(path) == wheel.sha256:
        return path
    downloads_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=downloads_dir, prefix=".download-") as folder:
        _pip_download(wheel, Path(folder), what)
        fetched = Path(folder, wheel.file_name)
        if not fetched.is_file() or _sha256(fetched) != wheel.sha256:
            raise DataError(f"pip did not download the expected file {wheel.file_name} (sha256 {wheel.sha256[:12]}…).")
        fetched.replace(path)
    return path


def _pip_download(wheel: Wheel, folder: Path, what: str) -> None:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--retries", "2", "--timeout", "20", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
    command += ["--dest", str(folder), "--requirement", str(requirements)]
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", check=False, env=child_environment()
    )
    if done.returncode == 0:
        return
    said = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.strip()] or ["no message"]
    if any("DO NOT MATCH" in line for line in said):
        raise DataError(
            f"The downloaded {wheel.file_name} has an unexpected sha256 and was deleted. Check which package index pip "
            "uses."
        )
    raise DataError(
        f"{what} could not be downloaded through pip ({said[-1]}). Check the network, then run the command again."
    )


def write_once(folder: Path, write: Callable[[Path], object], origin: Mapping[str, object]) -> Path:
    """Return a folder with the files that `write` makes; write it again if a file is missing, changed or added.

    Even if a call is interrupted, the folder appears under its name only when it is complete.

    Args:
        folder: Path of the folder.
        write: Function that creates a folder with the files at a given path.
        origin: Facts about the files' source. The folder is written again when they change.
    """
    if _is_whole(folder, origin):
        return folder
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as parent:
        fresh = Path(parent, folder.name)
        write(fresh)
        manifest = {**origin, "files": _hashes(fresh)}
        (fresh / _MANIFEST).write_text(dumps(manifest, indent=1), encoding="utf-8")
        if folder.exists():
            folder.replace(Path(parent, "old"))
        return fresh.replace(folder)


def _is_whole(folder: Path, origin: Mapping[str, object]) -> bool:
    """Return whether a folder holds exactly the files that `write_once` wrote from the same origin."""
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        hashes = _hashes(folder)
    except (OSError, ValueError):
        return False
    hashes.pop(_MANIFEST, None)
    return manifest == {**origin, "files": hashes}


def _hashes(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): _sha256(path) for path in sorted(folder.rglob("*.*"))}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
