"""What all tests share: markers, the option `--quick`, and a Neo4j that is started once per test process.

The server lives in a temporary folder and dies with the test process.
"""

from __future__ import annotations

import importlib.abc
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from filelock import FileLock
from hypothesis import settings as hypothesis_settings
from pydantic import SecretStr
from xdist.scheduler import LoadFileScheduling

from kgplug.graph.bolt.connection import Connection
from kgplug.graph.catalog import OWN_LABELS
from kgplug.graph.queries import quote
from kgplug.graph.server.home import Endpoint
from kgplug.graph.server.install import installed
from kgplug.graph.server.local import LocalNeo4j
from kgplug.graph.server.versions import NEWEST, version_named
from kgplug.settings import Settings

TESTS = Path(__file__).parent
# Servers of the tests are of this version: the newest, or the one that `make test NEO4J=5.26` names.
VERSION = version_named(os.environ.get("NEO4J") or NEWEST.name)
os.environ["KGPLUG_NEO4J_VERSION"] = VERSION.name
NOT_QUICK = ("training", "gpu", "database", "faults", "demo", "slow")
FOLDERS = ("demo", "faults")  # each is the name of a marker that all tests in the folder have
# Only Java's quick compiler, C1: a server of the tests spends most of its time on plans of new queries. For the queries
# of ten publishes, a server with both compilers took 68 s of a core, one with C1 43 s.
QUICK_JAVA = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m"
LONGEST = ("integration", "demo", "faults")  # folders whose tests take longest, in the order in which they run
WHOLE_FILE = re.compile(r"^pytestmark = \[?\s*(pytest\.mark\.gpu,\s*)?pytest\.mark\.training\b", re.MULTILINE)

# No example fails because it takes long: a busy machine is slow now and then.
hypothesis_settings.register_profile("kgplug", deadline=None)
hypothesis_settings.load_profile("kgplug")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help=f"leave out the tests marked {', '.join(NOT_QUICK)}")


class _NoTorch(importlib.abc.MetaPathFinder):
    """Refuses to import torch, which takes seconds, so that the marker `training` cannot be forgotten."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        if fullname == "torch":
            raise ImportError(
                "A quick test imports torch. Mark its file: pytestmark = pytest.mark.training, or import torch later."
            )


def pytest_configure(config: pytest.Config) -> None:
    if config.option.quick:
        assert "torch" not in sys.modules, "tests/conftest.py or a pytest plugin imports torch"
        sys.meta_path.insert(0, _NoTorch())


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With --quick, skip slow folders and files marked `training` before their import, which would import torch."""
    if not config.option.quick:
        return None
    if collection_path.is_dir():
        return (collection_path.parent == TESTS and collection_path.name in FOLDERS) or None
    return (collection_path.suffix == ".py" and bool(WHOLE_FILE.search(collection_path.read_text("utf-8")))) or None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        folder = _folder(item)
        if folder in FOLDERS:
            item.add_marker(folder)
        if folder == "demo":
            item.add_marker(pytest.mark.timeout(1800))  # its fixture runs the demo four times
        if "neo4j_jars" in getattr(item, "fixturenames", ()):  # the test needs a server
            item.add_marker("database")
    items.sort(key=_place)
    if config.option.quick:
        left_out = [item for item in items if any(item.get_closest_marker(name) for name in NOT_QUICK)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


def _folder(item: pytest.Item) -> str:
    return item.path.relative_to(TESTS).parts[0] if item.path.is_relative_to(TESTS) else ""


def _place(item: pytest.Item) -> int:
    """Return a test's place in the order: trainings first, while a server's jars are downloaded, then `LONGEST`."""
    folder = _folder(item)
    if folder in LONGEST:
        return 1 + LONGEST.index(folder)
    module = item.getparent(pytest.Module)
    return 0 if module is not None and module.get_closest_marker("training") else 1 + len(LONGEST)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin to download a server's jars if they are missing, so that no test has to wait long for them."""
    folder = _jars()
    first_process = os.environ.get("PYTEST_XDIST_WORKER", "gw0") == "gw0" and not session.config.option.collectonly
    if (
        first_process
        and not installed(folder, VERSION)
        and any(item.get_closest_marker("database") for item in session.items)
    ):
        code = (
            "import sys; from pathlib import Path; from kgplug.graph.server.install import install; "
            "from kgplug.graph.server.versions import version_named as version; "
            "install(Path(sys.argv[1]), version(sys.argv[2]))"
        )
        subprocess.Popen(
            [sys.executable, "-c", code, str(folder), VERSION.name],
            cwd=session.config.rootpath,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    """Give all tests of a file to one process, because they share trained models.

    All tests of tests/demo also run in one process. The integration tests run in half of the processes, so that fewer
    servers must warm up; each takes minutes of a core. If KGPLUG_TEST_NEO4J names a server, all tests that need one run
    in one process.
    """

    class OneProcessPerFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            if nodeid.startswith("tests/demo/"):
                return "tests/demo"
            file = super()._split_scope(nodeid)
            if "KGPLUG_TEST_NEO4J" in os.environ and nodeid.startswith(("tests/integration/", "tests/faults/")):
                return "with Neo4j"
            if not nodeid.startswith("tests/integration/"):
                return file
            return f"tests/integration {zlib.crc32(file.encode()) % max(1, self.numnodes // 2)}"

    return OneProcessPerFile(config, log)


@pytest.fixture(autouse=True)
def no_server_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the tests away from a database that the environment points at."""
    for name in ("NEO4J_URI", "NEO4J_USERNAME", "NEO4J_PASSWORD", "NEO4J_DATABASE", "NEO4J_CA_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def a_checkpoint_after_every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let trainings write checkpoints as often as they can, so that tests can stop them anywhere."""
    monkeypatch.setenv("KGPLUG_CHECKPOINT_S", "0")


@pytest.fixture
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Delete lists as soon as they stop serving. Without this, they stay a while for programs that are reading them."""
    monkeypatch.setattr("kgplug.graph.publishing.removing.clean.GRACE_S", 0.0)


@pytest.fixture(scope="session")
def neo4j_jars() -> Path:
    """Folder of the server's jars: the normal one, so that they are downloaded once per machine."""
    return _jars()


def _jars() -> Path:
    return Settings().neo4j_dir / "jars"


@pytest.fixture(scope="session")
def java_archive(neo4j_jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """A file with Java's classes as a server has them in memory. It halves the time to start a server.

    The tests start some forty servers. The first test process makes the file, which takes one start and one stop of a
    server. If there is only one test process, there is no file: None.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return None
    archive = tmp_path_factory.getbasetemp().parent / "neo4j.jsa"
    with FileLock(archive.with_suffix(".lock")):
        if not archive.exists():
            home = Path(tempfile.mkdtemp(prefix="kgplug-archive-"))
            server = LocalNeo4j(home, jars=neo4j_jars)
            with pytest.MonkeyPatch.context() as environment:
                environment.setenv("JDK_JAVA_OPTIONS", f"{QUICK_JAVA} -XX:ArchiveClassesAtExit={archive}")
                endpoint = server.start(die_with_parent=True)
                with Connection.open(endpoint.uri, username=endpoint.username, password=endpoint.password) as opened:
                    empty(opened, keys=["A"])
                    opened.write("UNWIND range(1, 3) AS i MERGE (a:A {id: i}) CREATE (a)-[:R {n: i}]->(:B {id: i})")
                    opened.rows(
                        "MATCH (a:A)-[r:R]->(b) WHERE a.id > 1 RETURN a.id AS id, collect(r.n) AS n ORDER BY id"
                    )
                    empty(opened)
                server.stop()
            shutil.rmtree(home, ignore_errors=True)
    return archive if archive.exists() else None


@pytest.fixture(scope="session")
def quick_java(java_archive: Path | None) -> Iterator[None]:
    """Let Java compile less, and read its classes from the archive, in servers that tests start themselves."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("JDK_JAVA_OPTIONS", _java_options(java_archive))
        yield


def _java_options(java_archive: Path | None) -> str:
    return QUICK_JAVA if java_archive is None else f"{QUICK_JAVA} -XX:SharedArchiveFile={java_archive}"


@pytest.fixture(scope="session")
def neo4j_server(neo4j_jars: Path, request: pytest.FixtureRequest) -> Iterator[Endpoint]:
    """A running Neo4j: one that is started here, or the one that KGPLUG_TEST_NEO4J names.

    The tests delete all its data. KGPLUG_TEST_NEO4J is "bolt://user:password@host:port#folder", where folder is the
    server's import folder.
    """
    if named := os.environ.get("KGPLUG_TEST_NEO4J"):
        url = urlsplit(named)
        uri = f"{url.scheme}://{url.hostname}:{url.port}"
        yield Endpoint(uri, url.username or "neo4j", SecretStr(url.password or ""), Path(url.fragment))
        return
    archive = request.getfixturevalue("java_archive")
    home = Path(tempfile.mkdtemp(prefix="kgplug-neo4j-", dir=_in_memory()))
    server = LocalNeo4j(home, jars=neo4j_jars)
    try:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("JDK_JAVA_OPTIONS", _java_options(archive))
            endpoint = server.start(die_with_parent=True)
        yield endpoint
    finally:
        server.kill()
        shutil.rmtree(home, ignore_errors=True)


def _in_memory() -> Path | None:
    """Return a folder in memory, where commits do not wait for a disk; None if it has no room for a server."""
    folder = Path("/dev/shm")
    return folder if folder.is_dir() and shutil.disk_usage(folder).free > 4 << 30 else None


@pytest.fixture
def connection(neo4j_server: Endpoint, no_grace: None, request: pytest.FixtureRequest) -> Iterator[Connection]:
    """A connection to an empty database: no nodes, no indexes, and no constraints but those of the marker `keys`."""
    with _opened(neo4j_server) as opened:
        empty(opened, keys=_keys(request))
        yield opened


@pytest.fixture(scope="module")
def shared_connection(neo4j_server: Endpoint, request: pytest.FixtureRequest) -> Iterator[Connection]:
    """A connection to a database that is emptied once, for the first of a file's tests that share a graph.

    These tests only read. Tests of the same file that use `connection` come after them, because it empties the
    database. If a fixture with parameters uses `shared_connection`, it empties the database itself.
    """
    with _opened(neo4j_server) as opened:
        empty(opened, keys=_keys(request))
        yield opened


def _opened(server: Endpoint) -> Connection:
    return Connection.open(server.uri, username=server.username, password=server.password, import_dir=server.import_dir)


def _keys(request: pytest.FixtureRequest) -> set[str]:
    return {label for marker in request.node.iter_markers("keys") for label in marker.args}


def empty(connection: Connection, *, keys: Collection[str] = ()) -> None:
    """Remove everything from a database, and leave only unique constraints on `id` of the labels in `keys`.

    Missing constraints are made. After a change of constraints, a server plans every query again. So tests with the
    same `keys` keep these constraints, and also those that kgplug makes for itself at the first publish.
    """
    missing = set(keys)
    for row in connection.rows("SHOW CONSTRAINTS YIELD name, labelsOrTypes, properties"):
        (label, *_), properties = row["labelsOrTypes"], row["properties"]
        if label in missing and properties == ["id"]:
            missing.remove(label)
        elif not (keys and label in OWN_LABELS):
            connection.autocommit(f"DROP CONSTRAINT {quote(row['name'])}")
    others = "SHOW INDEXES YIELD name, type, owningConstraint WHERE type <> 'LOOKUP' AND owningConstraint IS NULL"
    for row in connection.rows(others):
        connection.autocommit(f"DROP INDEX {quote(row['name'])}")
    connection.autocommit("MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 5000 ROWS")
    for label in missing:
        connection.autocommit(f"CREATE CONSTRAINT FOR (n:{quote(label)}) REQUIRE n.id IS UNIQUE")
    for file in (connection.import_dir or Path("absent")).glob("*"):
        shutil.rmtree(file) if file.is_dir() else file.unlink()
