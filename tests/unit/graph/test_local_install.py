"""The pinned jars: downloaded once, verified, mended."""

from __future__ import annotations

import hashlib
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import requests

from kgplug.errors import LocalServerError
from kgplug.graph.server import install
from kgplug.graph.server.versions import FIRST, NEWEST, VERSIONS

CONTENTS = {"one": b"first jar", "two": b"second jar, longer", "three": b"third"}


def jar_of(name: str, content: bytes) -> install.Jar:
    return install.Jar("org.example", name, "1.0", "", hashlib.sha256(content).hexdigest(), len(content))


class Registry:
    """Stands for jgo: hands out jars, and counts, alters or refuses them."""

    def __init__(self) -> None:
        self.fetched: list[str] = []
        self.altered: dict[str, int] = {}  # name → how many times still
        self.failing: dict[str, int] = {}

    def fetch(self, jar: install.Jar, repository: Path) -> Path:
        name = jar.artifact
        self.fetched.append(name)
        if self.failing.get(name, 0) > 0:
            self.failing[name] -= 1
            raise requests.ConnectionError("Name or service not known")
        content = CONTENTS[name]
        if self.altered.get(name, 0) > 0:
            self.altered[name] -= 1
            content = bytes(reversed(content))
        repository.mkdir(parents=True, exist_ok=True)
        path = repository / jar.file_name
        path.write_bytes(content)
        return path


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Registry:
    registry = Registry()
    monkeypatch.setattr(install, "pinned_jars", lambda version: [jar_of(*item) for item in CONTENTS.items()])
    monkeypatch.setattr(install, "_fetch", registry.fetch)
    monkeypatch.setenv("M2_REPO", str(tmp_path / "maven"))
    return registry


def read_all(folder: Path) -> dict[str, bytes]:
    return {path.name.split("-")[0]: path.read_bytes() for path in folder.glob("*.jar")}


@pytest.mark.parametrize("version", VERSIONS, ids=str)
def test_the_pinned_list_names_the_server_and_each_jar_once(version) -> None:
    jars = install.pinned_jars(version)
    names = [jar.file_name for jar in jars]
    assert f"neo4j-server-{version.release}.jar" in names
    assert len(set(names)) == len(names) > 200
    assert all(len(jar.sha256) == 64 and jar.size > 0 for jar in jars)
    assert any(name.endswith("-linux-x86_64.jar") for name in names)


def test_jars_are_downloaded_once_and_returned_in_class_path_order(registry, tmp_path) -> None:
    folder = tmp_path / "jars"
    paths = install.install(folder, NEWEST)
    assert [path.name for path in paths] == ["one-1.0.jar", "two-1.0.jar", "three-1.0.jar"]
    assert read_all(folder) == CONTENTS
    assert install.install(folder, NEWEST) == paths
    assert sorted(registry.fetched) == sorted(CONTENTS)
    assert install.installed(folder, NEWEST)


@pytest.mark.parametrize("damage", [b"", b"first jaR", b"first jar and more"])
def test_an_altered_jar_in_the_folder_is_downloaded_again(registry, tmp_path, damage) -> None:
    folder = tmp_path / "jars"
    install.install(folder, NEWEST)
    (folder / "one-1.0.jar").write_bytes(damage)
    registry.fetched.clear()
    install.install(folder, NEWEST)
    assert registry.fetched == ["one"]
    assert read_all(folder) == CONTENTS


def test_a_jar_that_was_altered_in_one_download_is_fetched_again(registry, tmp_path) -> None:
    registry.altered = {"two": 1}
    install.install(tmp_path / "jars", NEWEST)
    assert registry.fetched.count("two") == 2
    assert read_all(tmp_path / "jars") == CONTENTS


def test_a_jar_that_is_altered_in_every_download_is_reported_and_never_used(registry, tmp_path) -> None:
    registry.altered = {"two": 9}
    with pytest.raises(LocalServerError, match=r"two-1\.0\.jar was altered in 2 downloads"):
        install.install(tmp_path / "jars", NEWEST)
    assert not (tmp_path / "jars" / "two-1.0.jar").exists()


def test_a_short_network_failure_is_retried(registry, tmp_path) -> None:
    registry.failing = {"one": 1}
    install.install(tmp_path / "jars", NEWEST)
    assert read_all(tmp_path / "jars") == CONTENTS


def test_without_a_network_one_sentence_says_so_and_the_next_start_continues(registry, tmp_path) -> None:
    registry.failing = {"three": 2}
    folder = tmp_path / "jars"
    with pytest.raises(LocalServerError, match="Check the network") as raised:
        install.install(folder, NEWEST)
    assert "continues where it stopped" in str(raised.value)
    there = set(read_all(folder))
    registry.fetched.clear()
    install.install(folder, NEWEST)
    assert set(registry.fetched) == set(CONTENTS) - there
    assert read_all(folder) == CONTENTS


def test_files_of_a_killed_download_are_removed(registry, tmp_path) -> None:
    left = tmp_path / "jars" / ".download-abc"
    left.mkdir(parents=True)
    install.install(tmp_path / "jars", NEWEST)
    assert not list((tmp_path / "jars").glob(".download-*"))


def test_an_intact_jar_in_mavens_repository_is_copied_and_a_corrupt_one_is_not(registry, tmp_path) -> None:
    for name, content in (("one", CONTENTS["one"]), ("two", b"corrupt")):
        path = tmp_path / "maven" / "org" / "example" / name / "1.0" / f"{name}-1.0.jar"
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    install.install(tmp_path / "jars", NEWEST)
    assert sorted(registry.fetched) == ["three", "two"]
    assert read_all(tmp_path / "jars") == CONTENTS
    assert (tmp_path / "maven/org/example/one/1.0/one-1.0.jar").exists()


def test_a_full_disk_is_reported_before_any_download(registry, tmp_path, monkeypatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1000, 999, 1))
    with pytest.raises(LocalServerError, match="needs 300 MB"):
        install.install(tmp_path / "jars", NEWEST)
    assert not registry.fetched


def test_a_folder_that_cannot_be_created_is_named(registry, tmp_path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(LocalServerError, match=r"kgplug cannot write to .*file.*KGPLUG_HOME"):
        install.install(tmp_path / "file" / "jars", NEWEST)


def test_versions_share_the_jars_that_they_have_in_common() -> None:
    """A jar's file name says everything about it, so that one folder can hold the jars of all versions."""
    by_name: dict[str, install.Jar] = {}
    for jar in [jar for version in (FIRST, NEWEST) for jar in install.pinned_jars(version)]:
        assert by_name.setdefault(jar.file_name, jar) == jar
