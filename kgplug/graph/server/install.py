"""The jars of the local Neo4j that kgplug manages: pinned, downloaded once, verified at every start.

The Maven coordinates, sizes and sha256 of all jars are part of kgplug, so no dependencies are resolved at run time. A
missing jar is copied from Maven's local repository if an unaltered copy is there; otherwise, the package jgo downloads
it. A jar is moved into the folder only if its hash is right, so an interrupted download continues with the missing
jars.
"""

from __future__ import annotations

import errno
import hashlib
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from kgplug.errors import LocalServerError
from kgplug.graph.server.lock import locked
from kgplug.graph.server.versions import Neo4jVersion
from kgplug.progress import bar as progress_bar

_THREADS = 8
_READ_BYTES = 1 << 20
_NETWORK_TIMEOUT_S = 15
_ATTEMPTS = 2
_SPARE_BYTES = 300_000_000  # kept free for the database, on the same disk as the jars


@dataclass(frozen=True)
class Jar:
    """One jar of the server: its Maven coordinates, its sha256 as hex digits, and its size."""

    group: str
    artifact: str
    version: str
    classifier: str
    sha256: str
    size: int  # bytes

    @property
    def file_name(self) -> str:
        """The jar's file name in a Maven repository."""
        classifier = f"-{self.classifier}" if self.classifier else ""
        return f"{self.artifact}-{self.version}{classifier}.jar"

    def matches(self, path: Path) -> bool:
        """Return whether a file is this jar, by size and sha256."""
        try:
            if path.stat().st_size != self.size:
                return False
            digest = hashlib.sha256()
            with path.open("rb") as file:
                while block := file.read(_READ_BYTES):
                    digest.update(block)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return digest.hexdigest() == self.sha256


def pinned_jars(version: Neo4jVersion) -> list[Jar]:
    """Return the jars of a server in class path order."""
    pins = Path(__file__).with_name(f"neo4j-{version.release}.jars.txt")
    jars = []
    for line in pins.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            sha256, size, coordinates = line.split()
            group, artifact, release, *classifier = coordinates.split(":")
            jars.append(Jar(group, artifact, release, "".join(classifier), sha256, int(size)))
    return jars


def installed(folder: Path, version: Neo4jVersion) -> bool:
    """Return whether a folder has a file with the name of each jar of a version. The content is not checked."""
    return all((folder / jar.file_name).is_file() for jar in pinned_jars(version))


def install(folder: Path, version: Neo4jVersion, *, progress: bool | None = None) -> list[Path]:
    """Make sure that every jar of a version is in a folder and unaltered; copy or download the others.

    Args:
        folder: folder for the jars; created if missing. Several versions share it: jars that they have in common are
            there once.
        version: version of Neo4j.
        progress: Whether to show a progress bar while downloading. None: only on a terminal or in a notebook.

    Returns:
        The paths of the jars in class path order.

    Raises:
        LocalServerError: a network, disk or permission problem, or a jar with a wrong hash after two downloads.
    """
    jars = pinned_jars(version)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if _missing(jars, folder):
            with locked(folder / ".lock"):
                _download_all(_missing(jars, folder), folder, version, progress)
    except OSError as error:
        raise disk_error(folder, error) from error
    return [folder / jar.file_name for jar in jars]


def disk_error(folder: Path, error: OSError) -> LocalServerError:
    """Return the error to raise when files cannot be written to a folder. Its message explains why."""
    if isinstance(error, shutil.Error):  # of copytree, with an entry (source, copy, reason) for each file it tried
        reasons = [str(reason) for _, _, reason in error.args[0]]
        full = any(f"[Errno {errno.ENOSPC}]" in reason for reason in reasons)
        error = OSError(errno.ENOSPC if full else None, reasons[0])
    if error.errno == errno.ENOSPC:
        return LocalServerError(f"The disk of {folder} is full. Free some space, or set KGPLUG_HOME to another disk.")
    return LocalServerError(
        f"kgplug cannot write to {error.filename or folder} ({error.strerror or error}). "
        "Correct its permissions, or set KGPLUG_HOME to a folder of your own."
    )


def _missing(jars: list[Jar], folder: Path) -> list[Jar]:
    """Return the jars that are missing or altered in a folder."""
    with ThreadPoolExecutor(_THREADS) as pool:
        right = list(pool.map(lambda jar: jar.matches(folder / jar.file_name), jars))
    return [jar for jar, is_right in zip(jars, right, strict=True) if not is_right]


def _check_space(folder: Path, download_bytes: int) -> None:
    """Raise LocalServerError if too little disk space is free for a download of `download_bytes` bytes."""
    free, needed = shutil.disk_usage(folder).free, download_bytes + _SPARE_BYTES
    if free < needed:
        raise LocalServerError(
            f"The local Neo4j needs {needed / 1e6:.0f} MB in {folder}, but only {free / 1e6:.0f} MB are free. "
            "Free some space, or set KGPLUG_HOME to another disk."
        )


def _download_all(jars: list[Jar], folder: Path, version: Neo4jVersion, progress: bool | None) -> None:
    """Copy or download jars, in parallel, into a folder that the caller has locked."""
    for left_by_a_killed_download in folder.glob(".download-*"):
        shutil.rmtree(left_by_a_killed_download, ignore_errors=True)
    _check_space(folder, sum(jar.size for jar in jars))
    largest_first = sorted(jars, key=lambda jar: -jar.size)
    n_bytes = sum(jar.size for jar in jars)
    bar = progress_bar(n_bytes, what=f"Neo4j {version.release}", unit="B", progress=progress, in_notebooks=True)
    with bar, tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as staging:
        pool = ThreadPoolExecutor(_THREADS)
        try:
            for size in pool.map(lambda jar: _obtain(jar, folder, Path(staging)), largest_first):
                bar.update(size)
        finally:
            pool.shutdown(cancel_futures=True)


def _obtain(jar: Jar, folder: Path, staging: Path) -> int:
    """Copy or download one jar to `staging`, move it to `folder`, and return its size in bytes."""
    source = _from_maven_repository(jar, staging) or _download(jar, staging)
    source.replace(folder / jar.file_name)
    return jar.size


def _from_maven_repository(jar: Jar, staging: Path) -> Path | None:
    """Copy a jar from Maven's local repository to `staging`; return the copy, or None if there is no unaltered one."""
    from jgo.constants import default_maven_repo

    path = default_maven_repo().joinpath(*jar.group.split("."), jar.artifact, jar.version, jar.file_name)
    try:
        return Path(shutil.copy(path, staging / jar.file_name)) if jar.matches(path) else None
    except PermissionError:
        return None


def _download(jar: Jar, staging: Path) -> Path:
    """Download a jar into `staging` and return its path. Retry once if the network fails or the hash is wrong."""
    from requests import RequestException

    failure: Exception | None = None
    for attempt in range(_ATTEMPTS):
        try:
            path = _fetch(jar, staging / str(attempt))
        except (RequestException, RuntimeError) as error:
            failure = error
        else:
            failure = None
            if jar.matches(path):
                return path
    if failure is None:
        raise LocalServerError(
            f"{jar.file_name} was altered in {_ATTEMPTS} downloads (its sha256 is not the pinned one). "
            "A proxy or mirror may be the cause. Try again, or use another network."
        )
    raise LocalServerError(
        f"The local Neo4j could not be downloaded ({jar.file_name}: {type(failure).__name__}). Check the network and "
        "run the command again; it continues where it stopped. Or set NEO4J_URI to a server of your own."
    ) from failure


def _fetch(jar: Jar, repository: Path) -> Path:
    """Download one jar to the folder `repository` with jgo, without dependencies; return its path."""
    from jgo.maven import MavenContext

    context = MavenContext(repo_cache=repository, timeout=_NETWORK_TIMEOUT_S)
    component = context.project(jar.group, jar.artifact).at_version(jar.version)
    return component.artifact(jar.classifier).resolve()
