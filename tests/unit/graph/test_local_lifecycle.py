"""Starting, finding and stopping the local server's process; a small program stands for Java and Neo4j."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from kgplug.errors import LocalServerError
from kgplug.graph.server import config, home, install, local
from kgplug.graph.server.local import LocalNeo4j
from tests.unit.helpers.fake_java import use_fake_java

START = """
import sys
from pathlib import Path
from kgplug.graph.server import install
from kgplug.graph.server.local import LocalNeo4j
from tests.unit.helpers.fake_java import use_fake_java
install.install = lambda folder, version, progress: []
LocalNeo4j._log_in = lambda self: None
print(LocalNeo4j(Path(sys.argv[1])).start().uri)
"""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A local server whose Java is the fake one; killed afterwards."""
    use_fake_java(tmp_path / "java home", monkeypatch)
    monkeypatch.setattr(install, "install", lambda folder, version, progress: [])
    monkeypatch.setattr(LocalNeo4j, "_log_in", lambda self: None)
    server = LocalNeo4j(tmp_path / "a home")
    server.home.mkdir()
    yield server
    server.kill()


def launches(server: LocalNeo4j) -> list[int]:
    return [int(pid) for pid in (server.home / "launches").read_text().split()]


def start_elsewhere(server: LocalNeo4j) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", START, server.home], stdout=subprocess.PIPE, text=True)


def port_of(uri: str | None) -> int:
    return int((uri or "").rpartition(":")[2])


def test_a_server_outlives_the_command_that_started_it_and_is_found_and_stopped_by_another(server) -> None:
    uri = start_elsewhere(server).communicate()[0].strip()
    status = server.status()
    assert (status.state, status.uri, [status.pid]) == ("running", uri, launches(server))
    assert server.endpoint() == server.start()
    assert server.stop() is True
    assert server.status().pid is None
    assert server.stop() is False


def test_two_starts_at_once_start_one_server(server) -> None:
    both = [start_elsewhere(server) for _ in range(2)]
    uris = {one.communicate()[0] for one in both}
    assert len(uris) == len(launches(server)) == 1


def test_starting_twice_returns_the_same_endpoint(server) -> None:
    assert server.start() == server.start()
    assert len(launches(server)) == 1


def test_a_running_server_is_found_without_its_pid_file(server) -> None:
    uri = server.start().uri
    (server.home / "neo4j.pid").unlink()
    assert LocalNeo4j(server.home).start().uri == uri
    assert len(launches(server)) == 1


@pytest.mark.parametrize(
    "pid",
    [str(os.getpid()), "999999999", "-5", "not a number", ""],
    ids=["ours", "too high", "negative", "text", "empty"],
)
def test_a_pid_that_another_program_has_now_is_not_the_server(server, pid) -> None:
    (server.home / "neo4j.pid").write_text(pid)
    assert server.status().pid is None
    assert server.stop() is False
    server.start()
    assert [server.status().pid] == launches(server)


def test_a_port_that_another_program_uses_is_replaced_and_reported(server, caplog) -> None:
    port = port_of(server.start().uri)
    server.stop()
    with socket.create_server(("127.0.0.1", port)), caplog.at_level(logging.WARNING):
        fresh = port_of(server.start().uri)
    assert fresh != port
    assert f"Another program uses port {port}, so the local Neo4j now listens on port {fresh}." in caplog.text


def test_a_free_port_is_kept_from_one_start_to_the_next(server) -> None:
    uri = server.start().uri
    server.stop()
    assert server.start().uri == uri


def test_a_port_that_is_taken_during_the_start_is_replaced(server) -> None:
    (server.home / "mode").write_text("port taken once")
    server.start()
    assert len(launches(server)) == 2
    assert server.status().state == "running"


def test_a_port_that_stays_taken_is_reported_in_one_sentence(server) -> None:
    (server.home / "mode").write_text("port taken")
    with pytest.raises(LocalServerError, match="Another program took the port of the local Neo4j 3 times"):
        server.start()


def test_another_program_on_the_servers_port_is_not_the_server(server) -> None:
    (server.home / "mode").write_text("mute")
    data = server.home / "data"
    config.write_config(server.home, 0, data=data)
    command = config.command_line(server.home, server.version, local.find_java(server.version), [])
    process = subprocess.Popen(command, cwd=server.home)
    with socket.create_server(("127.0.0.1", 0)) as other:
        config.write_config(server.home, other.getsockname()[1], data=data)
        deadline = time.monotonic() + 120
        while server.status().pid is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert server.status().state == "starting"
        with pytest.raises(LocalServerError, match="is not running"):
            server.endpoint()
    process.kill()
    process.wait()


def test_a_server_that_dies_is_reported_with_its_cause_and_log(server) -> None:
    (server.home / "mode").write_text("dies")
    with pytest.raises(LocalServerError, match="Caused by: store is locked") as raised:
        server.start()
    assert str(server.log) in str(raised.value)
    assert server.status().pid is None


def test_a_server_killed_while_starting_is_reported_as_killed(server) -> None:
    (server.home / "mode").write_text("is killed")
    with pytest.raises(LocalServerError, match="it was killed"):
        server.start()


def test_a_server_that_never_answers_is_reported_in_one_sentence(server, monkeypatch) -> None:
    for module in (home, local):
        monkeypatch.setattr(module, "START_TIMEOUT_S", 1)
    (server.home / "mode").write_text("mute")
    with pytest.raises(LocalServerError, match="did not answer within 1 s"):
        server.start()
    assert server.status().state == "unhealthy"
    assert server.stop() is True


def test_a_server_that_does_not_stop_is_killed_and_reported(server, monkeypatch, caplog) -> None:
    monkeypatch.setattr(local, "_STOP_TIMEOUT_S", 1)
    (server.home / "mode").write_text("ignores")
    server.start()
    assert server.stop() is True
    assert "was killed" in caplog.text
    assert server.status().pid is None


def test_a_missing_password_file_next_to_data_is_reported_in_one_sentence(server) -> None:
    server.start()
    server.stop()
    (server.home / "data" / "databases" / "system").mkdir(parents=True)
    config.password_file(server.home).unlink()
    with pytest.raises(LocalServerError, match=r"password file .* is missing"):
        server.start()


def test_an_interrupted_first_start_is_repeated_with_a_new_password(server) -> None:
    first = config.set_first_password(server.home, server.home / "data")
    assert server.start().password != first


def test_an_installed_server_that_never_ran_is_stopped_and_one_without_jars_not_installed(server, monkeypatch) -> None:
    assert server.status().state == "not installed"
    monkeypatch.setattr(install, "installed", lambda folder, version: True)
    assert server.status().state == "stopped"
    assert server.status().data_bytes == 0


def test_a_home_that_cannot_be_created_is_reported_in_one_sentence(server, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalServerError, match=r"kgplug cannot write to .*KGPLUG_HOME"):
        LocalNeo4j(tmp_path / "file" / "neo4j").start()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_a_server_of_a_test_run_dies_with_it() -> None:
    script = (
        "import subprocess; from kgplug.graph.server.process import dying_with_parent as mortal;"
        "print(subprocess.Popen(['sleep', '600'], stdout=subprocess.DEVNULL, preexec_fn=mortal()).pid, flush=True);"
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    )
    parent = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 120
    while psutil.pid_exists(pid := int(parent.stdout)) and time.monotonic() < deadline:
        if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return
        time.sleep(0.02)
    assert not psutil.pid_exists(pid)
