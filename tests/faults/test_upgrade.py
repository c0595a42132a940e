"""An upgrade of the local Neo4j is killed: the old store still serves, and the upgrade can be repeated and undone."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kgplug.graph.server.home import Endpoint
from kgplug.graph.server.local import LocalNeo4j
from kgplug.graph.server.upgrade import undo_upgrade, upgrade
from kgplug.graph.server.versions import FIRST, NEWEST
from tests import warm_python
from tests.conftest import VERSION
from tests.faults.command import environment
from tests.faults.conftest import opened

pytestmark = pytest.mark.skipif(VERSION != NEWEST, reason="starts both versions itself, so once is enough")


@pytest.fixture
def home(neo4j_jars: Path, quick_java: None) -> Iterator[Path]:
    """A home of kgplug with its own local Neo4j, and the jars of all tests."""
    folder = Path(tempfile.mkdtemp(prefix="kgplug-upgrade-"))
    (folder / "neo4j").mkdir()
    (folder / "neo4j" / "jars").symlink_to(neo4j_jars)
    yield folder
    for server in (folder / "neo4j", folder / "neo4j" / "upgrade"):
        LocalNeo4j(server).kill()
    shutil.rmtree(folder, ignore_errors=True)


def contents(endpoint: Endpoint) -> tuple[str, int, str]:
    """Return the release of the server, the number of nodes, and the id by which runs recognise the database."""
    with opened(endpoint) as connection:
        n = connection.rows("MATCH (n:Kept) RETURN count(n) AS n")[0]["n"]
        return connection.server_version, n, connection.store


def test_an_upgrade_killed_halfway_leaves_the_old_store_serving_and_can_be_repeated_and_undone(home: Path) -> None:
    server = LocalNeo4j(home / "neo4j", version=FIRST.name)
    with opened(server.start(die_with_parent=True)) as connection:
        connection.write("UNWIND range(1, 1000) AS i CREATE (:Kept {i: i})")
        store = connection.store
    server.stop()  # a server that this process started would stay its child
    trial = LocalNeo4j(home / "neo4j" / "upgrade")
    command = [sys.executable, "-c", warm_python.COMMAND, "db", "upgrade"]
    process = subprocess.Popen(command, env=environment(home, None), cwd=home)
    deadline = time.monotonic() + 300
    while not trial.home.is_dir() or trial.status().state not in ("starting", "running"):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(2)  # the newer version works on its copy
    process.kill()
    process.wait()
    assert contents(server.start(die_with_parent=True)) == (FIRST.release, 1000, store)

    server = LocalNeo4j(home / "neo4j")
    assert upgrade(server).version == NEWEST
    assert contents(server.endpoint()) == (NEWEST.release, 1000, store)
    with opened(server.endpoint()) as connection:
        connection.write("CREATE (:Kept)")
    undo_upgrade(server)
    assert contents(server.endpoint()) == (FIRST.release, 1000, store)
