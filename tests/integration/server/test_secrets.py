"""A password stays out of logs, errors, process lists, run folders and notebooks."""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
import socket
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import typer.main
from pydantic import SecretStr

from kgplug.cli import app
from kgplug.errors import GraphError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.connect import connect_settings
from kgplug.graph.server.home import Endpoint
from kgplug.graph.server.local import LocalNeo4j
from kgplug.settings import Settings
from tests import warm_python
from tests.integration.helpers.sample_graphs import FILMS, build

ROOT = Path(__file__).parents[3]
OTHER = f"s3cret-{secrets.token_hex(8)}"  # of a server of one's own, in the environment of whoever starts another


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="kgplug-neo4j-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def server(home: Path, neo4j_jars: Path, quick_java: None) -> Iterator[Endpoint]:
    """A local Neo4j, started while the environment holds the password of another server."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("NEO4J_PASSWORD", OTHER)
        local = LocalNeo4j(home, jars=neo4j_jars)
        try:
            yield local.start(die_with_parent=True)
        finally:
            local.kill()


@pytest.fixture
def password(server: Endpoint, monkeypatch: pytest.MonkeyPatch) -> str:
    """The server's password; the environment has it, as when a user sets it."""
    password = server.password.get_secret_value()
    monkeypatch.setenv("NEO4J_URI", server.uri)
    monkeypatch.setenv("NEO4J_PASSWORD", password)
    return password


def test_debug_logs_and_errors_of_logins_and_queries_hold_no_password(
    server: Endpoint, password: str, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("neo4j", "kgplug"):
        caplog.set_level(logging.DEBUG, logger=name)
    errors = []
    with connect_settings() as connection:
        errors += [
            error_of(lambda: connection.rows("MATCH (n RETURN n")),
            error_of(lambda: connection.rows("RETURN $a")),
        ]
    errors.append(error_of(lambda: Connection.open(server.uri, password=SecretStr(OTHER))))
    errors.append(error_of(lambda: Connection.open("bolt+s" + server.uri[4:], password=SecretStr(OTHER))))
    errors.append(error_of(lambda: Connection.open(f"bolt://127.0.0.1:{free_port()}", password=SecretStr(OTHER))))
    assert "LOGON" in caplog.text and len(caplog.records) > 50  # the driver has told all it tells
    for text in (caplog.text, *errors):
        assert password not in text
        assert OTHER not in text


def error_of(call) -> str:
    """Return a GraphError with all that led to it, local variables of every frame included."""
    with pytest.raises(GraphError) as raised:
        call()
    whole = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
    return "".join(whole.format()) + str(raised.value.args)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        return closed.getsockname()[1]


@pytest.mark.parametrize(
    "uri",
    [
        "bolt://neo4j:{}@localhost:7687",
        "bolt://neo4j:{}@localhost:port",
        "bolt//neo4j:{}@localhost",
        "neo4j:{}@localhost",
        "bolt://neo4j:a/{}@localhost",
        "bolt://[neo4j:{}@localhost",
        "bolt://localhost\n:{}@x",
        "https://user:{}@host",
        "bolt://neo4j:{}＠localhost:7687",
    ],
)
def test_a_password_in_a_uri_is_refused_and_not_repeated(uri: str) -> None:
    text = error_of(lambda: Connection.open(uri.format("p%00ss"), password=SecretStr("x")))
    assert "contains a user name or password" in text
    with pytest.raises(GraphError) as raised:
        Connection.open(uri.format(OTHER), password=SecretStr("x"))
    assert OTHER not in str(raised.value)
    assert OTHER not in repr(Settings(neo4j_uri=uri.format(OTHER))) + str(Settings(neo4j_uri=uri.format(OTHER)))


def test_settings_and_endpoints_show_no_password(server: Endpoint, password: str) -> None:
    settings = Settings()
    assert settings.neo4j_password is not None and settings.neo4j_password.get_secret_value() == password
    for shown in (settings, server, settings.model_dump(), settings.model_dump_json()):
        assert password not in f"{shown} {shown!r}"


def test_processes_that_kgplug_starts_show_no_password(server: Endpoint, home: Path) -> None:
    (process,) = (one for one in psutil.process_iter() if f"--home-dir={home.resolve()}" in safe_cmdline(one))
    environment = Path(f"/proc/{process.pid}/environ").read_bytes()
    assert b"LC_ALL=C.UTF-8" in environment
    for line in (environment, Path(f"/proc/{process.pid}/cmdline").read_bytes()):
        assert OTHER.encode() not in line
        assert server.password.get_secret_value().encode() not in line


def safe_cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_no_command_takes_a_password_as_an_argument() -> None:
    command = typer.main.get_command(app)
    groups = [command, *(one for one in command.commands.values() if hasattr(one, "commands"))]
    options = [option for group in groups for one in group.commands.values() for option in one.params]
    assert len(options) > 50
    assert not [option.name for option in options if re.search("pass|secret|token", option.name or "")]


def test_commands_print_no_password_and_runs_hold_none(server: Endpoint, password: str, tmp_path: Path) -> None:
    with connect_settings() as connection:
        build(connection, FILMS)
    environment = {**os.environ, "KGPLUG_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    said = ""
    for arguments in (
        ["init"],
        ["check"],
        ["train", "Popularity"],
        ["evaluate"],
        ["publish", "Popularity"],
        ["--typo"],
    ):
        done = warm_python.run(*arguments, cwd=tmp_path, env=environment)
        said += done.stdout + done.stderr
        assert done.returncode == (2 if arguments == ["--typo"] else 0), said
    assert password not in said
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any("popularity" in str(path) for path in files)
    assert not [path for path in files if password.encode() in path.read_bytes()]


def test_the_password_of_the_local_neo4j_is_in_its_own_file_only(server: Endpoint, home: Path) -> None:
    files = [path for path in home.rglob("*") if path.is_file()]
    holding = [path for path in files if server.password.get_secret_value().encode() in path.read_bytes()]
    assert holding == [home / "password"]
    assert holding[0].stat().st_mode & 0o077 == 0


def test_a_notebook_shows_no_password(
    server: Endpoint, password: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = [
        "import os, kgplug; from kgplug.settings import Settings; graph = kgplug.connect()",
        "Settings()",
        "print(Settings(), graph, vars(graph), vars(graph.connection)); graph.connection",
        "graph.query('RETURN 1 AS one')",
        "graph.query('MATCH (n RETURN n')",
        "kgplug.connect(password=os.environ['NEO4J_PASSWORD'] + 'x')",
    ]
    import nbformat  # these take a second
    from nbclient import NotebookClient

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    NotebookClient(notebook, timeout=120, allow_errors=True, resources={"metadata": {"path": str(tmp_path)}}).execute()
    text = nbformat.writes(notebook)
    assert "refuses this user name or password" in text and "Invalid input" in text and "**********" in text
    assert password not in text


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_shipped_notebooks_name_no_password(path: Path) -> None:
    assert not re.search(r"password\s*=\s*\S|NEO4J_PASSWORD\S*\s*=", path.read_text(encoding="utf-8"))
