"""Which version of Neo4j a home folder has, and moving it to a newer one; a small program stands for Java and Neo4j."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from kgplug.cli import app
from kgplug.data.graph_identity import GraphIdentity
from kgplug.errors import LocalServerError, UsageError
from kgplug.graph.publishing.removing.erase import EraseReport
from kgplug.graph.schema import GraphSchema
from kgplug.graph.server import install, upgrade
from kgplug.graph.server.home import LocalHome
from kgplug.graph.server.local import LocalNeo4j
from kgplug.graph.server.store import Store, unused_stores
from kgplug.graph.server.versions import FIRST, NEWEST, version_named
from kgplug.jobs import erase_user
from kgplug.training.runs import Runs
from tests.unit.helpers.fake_java import use_fake_java

# Runs an upgrade and kills itself at the n-th call of a function.
KILLED_UPGRADE = """
import os, signal, sys
from pathlib import Path
from kgplug.graph.server import upgrade
from kgplug.graph.server import install
from kgplug.graph.server.local import LocalNeo4j
home, (owner, function), n = Path(sys.argv[1]), sys.argv[2].rsplit(".", 1), int(sys.argv[3])
upgrade.install = install.install = lambda folder, version, progress: []
LocalNeo4j._log_in = lambda self: None
owner = eval(owner)
whole, calls = getattr(owner, function), []
def killed(*args, **kwargs):
    calls.append(1)
    if len(calls) == n:
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(*args, **kwargs)
setattr(owner, function, killed)
upgrade.upgrade(LocalNeo4j(home))
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder whose Java is the fake one; nothing is downloaded."""
    use_fake_java(tmp_path / "java home", monkeypatch)
    for module in (install, upgrade):
        monkeypatch.setattr(module, "install", lambda folder, version, progress: [])
    monkeypatch.setattr(LocalNeo4j, "_log_in", lambda self: None)
    monkeypatch.delenv("KGPLUG_NEO4J_VERSION", raising=False)
    folder = tmp_path / "neo4j"
    yield folder
    LocalNeo4j(folder).kill()
    LocalNeo4j(folder / "upgrade").kill()


def with_store(home: Path, version: str = FIRST.name) -> LocalNeo4j:
    """Return a stopped server of a home folder whose store was opened once by this version."""
    (home / "data" / "databases" / "system").mkdir(parents=True)
    (home / "data" / "databases" / "film").write_text("a node")
    (home / "password").write_text("secret")
    (home / "store.json").write_text(json.dumps({"version": version, "data": "data"}))
    server = LocalNeo4j(home)
    server.start()
    server.stop()
    return server


def opened_by(store: Path) -> list[str]:
    return (store / "opened").read_text().split()


def test_a_new_home_gets_the_newest_version_and_the_setting_or_an_argument_may_choose_another(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert LocalNeo4j(home).version == NEWEST
    monkeypatch.setenv("KGPLUG_NEO4J_VERSION", FIRST.name)
    assert LocalNeo4j(home).version == FIRST
    assert LocalNeo4j(home, version=NEWEST.release).version == NEWEST
    LocalNeo4j(home, version=NEWEST.name).start()
    assert json.loads((home / "store.json").read_text()) == {"version": NEWEST.name, "data": "data"}


def test_a_home_of_before_the_choice_is_of_the_first_version(home: Path) -> None:
    with_store(home)
    (home / "store.json").unlink()
    assert LocalNeo4j(home).version == FIRST
    assert LocalNeo4j(home).status().version == FIRST.release


def test_an_existing_store_keeps_its_version_and_refuses_another_in_one_sentence(home: Path) -> None:
    with_store(home)
    with pytest.raises(
        LocalServerError, match=r"belongs to Neo4j 5\.26, .* with Neo4j 2026\.09\..*`kgplug db upgrade`"
    ):
        LocalNeo4j(home, version=NEWEST.name).start()
    assert LocalNeo4j(home).version == FIRST
    LocalNeo4j(home, version=FIRST.name).start()
    assert set(opened_by(home / "data")) == {FIRST.main_class}


@pytest.mark.parametrize("name", ["4.4", "", "5.26.29", "newest", "2026.09 "])
def test_a_version_that_is_not_pinned_is_refused_and_those_that_are_are_named(name: str) -> None:
    with pytest.raises(
        UsageError, match=r"does not install Neo4j '.*'\. Choose one of its versions: 5\.26 and 2026\.09"
    ):
        version_named(name)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"version": "5.26"}', '{"version": 5, "data": [', '"5.26"'])
def test_a_damaged_record_of_the_store_is_refused_in_one_sentence(home: Path, text: str) -> None:
    with_store(home)
    (home / "store.json").write_text(text)
    with pytest.raises(LocalServerError, match=r"store\.json is damaged\. Expected version and data"):
        LocalNeo4j(home).start()


def test_a_store_of_a_version_that_this_kgplug_does_not_know_is_refused(home: Path) -> None:
    with_store(home)
    (home / "store.json").write_text('{"version": "2031.01", "data": "data"}')
    with pytest.raises(LocalServerError, match=r"belongs to Neo4j 2031\.01, but this kgplug installs only 5\.26 and"):
        LocalNeo4j(home).start()


def test_an_upgrade_gives_a_copy_to_the_newer_version_and_never_touches_the_old_store(home: Path) -> None:
    server = with_store(home)
    store = upgrade.upgrade(server)
    assert (store.version, store.folder, store.before.folder) == (NEWEST, home / "data-2026.09", home / "data")
    assert opened_by(home / "data") == [FIRST.main_class]
    assert opened_by(store.folder)[-1] == NEWEST.main_class
    assert (store.folder / "databases" / "film").read_text() == "a node"
    assert not (home / "upgrade").exists()
    assert server.status().pid is None  # it did not run before
    assert upgrade.upgrade(server) == store
    assert LocalHome(home).version == NEWEST


def test_a_running_server_runs_again_after_an_upgrade_and_after_its_undoing(home: Path) -> None:
    server = with_store(home)
    server.start()
    upgrade.upgrade(server)
    assert server.status().state == "running"
    assert len(opened_by(home / "data-2026.09")) == 4  # 5.26 twice, the trial, and now
    assert upgrade.undo_upgrade(server).version == FIRST
    assert server.status().state == "running"
    assert opened_by(home / "data") == [FIRST.main_class] * 3


def test_the_commands_choose_show_upgrade_and_undo_a_version(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGPLUG_HOME", str(home.parent))

    def run(words: str) -> str:
        result = CliRunner().invoke(app, words.split())
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return " ".join(result.stdout.split())

    with pytest.raises(UsageError, match=r"does not install Neo4j '4\.4'"):
        run("db start --version 4.4")
    with_store(home)
    assert run("db start --version 5.26").startswith("Neo4j 5.26 is running at bolt://")
    assert f"The local Neo4j is Neo4j 2026.09 now. Its store is in {home}/data-2026.09." in run("db upgrade")
    assert run("db upgrade") == "The local Neo4j is Neo4j 2026.09 already."
    assert json.loads(run("db status --json"))["version"] == NEWEST.release
    with pytest.raises(UsageError, match="Leave out --version"):
        run("db upgrade --undo --version 5.26")
    assert f"Neo4j 5.26 serves the store from before the upgrade again, in {home}/data." in run("db upgrade --undo")
    assert json.loads(run("db status --json"))["version"] == FIRST.release


def test_an_undone_upgrade_can_be_repeated_from_the_old_store(home: Path) -> None:
    server = with_store(home)
    upgrade.upgrade(server)
    upgrade.undo_upgrade(server)
    (home / "data" / "databases" / "film").write_text("another node")
    store = upgrade.upgrade(server)
    assert (store.folder / "databases" / "film").read_text() == "another node"


def stop_at(monkeypatch: pytest.MonkeyPatch, function: str, error: BaseException) -> None:
    """Let a function of the upgrade raise an error at its next call: half-way, or for a start when the server runs."""
    owner, _, name = ("upgrade." + function).rpartition(".")
    place = {"upgrade": upgrade, "upgrade.shutil": shutil, "upgrade.LocalNeo4j": LocalNeo4j, "upgrade.Path": Path}[
        owner
    ]
    whole, left = getattr(place, name), [error]

    def stopped(*args, **kwargs):
        if name == "use_store" and args[0].name == "upgrade":
            return whole(*args, **kwargs)
        if name == "copytree":
            Path(args[1]).mkdir()
        if name == "_wait":
            whole(*args, **kwargs)
        if left:
            raise left.pop()
        return whole(*args, **kwargs)

    monkeypatch.setattr(place, name, stopped)


def while_waiting_for_the_lock(server: LocalNeo4j, monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Let something happen just before `server.while_stopped` gets its lock."""
    whole = server.while_stopped

    def late(**kwargs):
        act()
        return whole(**kwargs)

    monkeypatch.setattr(server, "while_stopped", late)


def test_an_upgrade_that_waited_for_another_one_keeps_what_was_written_since(home: Path, monkeypatch) -> None:
    server = with_store(home)

    def upgraded_and_used() -> None:
        store = upgrade.upgrade(LocalNeo4j(home))
        (store.folder / "databases" / "film").write_text("written since")

    while_waiting_for_the_lock(server, monkeypatch, upgraded_and_used)
    store = upgrade.upgrade(server)
    assert (store.version, store.before.folder) == (NEWEST, home / "data")
    assert (store.folder / "databases" / "film").read_text() == "written since"


def test_undoing_an_upgrade_that_another_process_undid_meanwhile_changes_nothing(home: Path, monkeypatch) -> None:
    server = with_store(home)
    upgrade.upgrade(server)
    while_waiting_for_the_lock(server, monkeypatch, lambda: upgrade.undo_upgrade(LocalNeo4j(home)))
    with pytest.raises(LocalServerError, match="has not been upgraded"):
        upgrade.undo_upgrade(server)
    assert server.store == Store(home / "data", FIRST)


@pytest.mark.parametrize("used", ["data-2026.09", "data-2026.09/inner", "upgrade/data"])
def test_an_upgrade_never_replaces_the_folder_in_use(home: Path, used: str) -> None:
    server = with_store(home)
    (home / used).parent.mkdir(exist_ok=True)
    (home / "data").rename(home / used)
    (home / "store.json").write_text(json.dumps({"version": FIRST.name, "data": used}))
    server.start()
    with pytest.raises(LocalServerError, match=f"would replace .*, but the store in use is in {home}/{used}"):
        upgrade.upgrade(server)
    assert (home / used / "databases" / "film").read_text() == "a node"
    assert server.status().state == "running" and not (home / "upgrade" / "store.json").exists()


def erasure(address: str, runs: Path, monkeypatch: pytest.MonkeyPatch) -> erase_user.Erasure:
    """Erase user 7, who is in no run, from a graph that is not asked."""
    monkeypatch.setattr(erase_user, "graph_identity", lambda *_: GraphIdentity())
    monkeypatch.setattr(erase_user, "has_key", lambda *_, **__: True)
    monkeypatch.setattr(
        erase_user, "erase_from_graph", lambda *_, **__: EraseReport(7, 0, [], "RETURN 1", (0, []), (0, []))
    )
    graph = SimpleNamespace(connection=SimpleNamespace(uri=f"bolt://{address}"), schema=GraphSchema())
    return erase_user.erase_user(graph, Runs(runs), 7)


def test_erasing_a_user_names_each_store_that_is_kept_but_not_used(home: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("KGPLUG_HOME", str(home.parent))
    server = with_store(home)
    assert erasure(server.address(), tmp_path / "runs", monkeypatch).old_stores == []
    upgrade.upgrade(server)
    for address in (server.address(), server.address().replace("127.0.0.1", "localhost")):
        found = erasure(address, tmp_path / "runs", monkeypatch)
        assert found.old_stores == found.to_dict()["old_stores"] == [str(home / "data")]
        assert f"may still have the user's data: {home}/data. Delete this folder." in str(found)
    elsewhere = erasure("graph.example:7687", tmp_path / "runs", monkeypatch)
    assert elsewhere.old_stores == [] and "upgrade" not in str(elsewhere)
    upgrade.undo_upgrade(server)
    (home / "upgrade" / "data" / "databases").mkdir(parents=True)
    found = erasure(server.address(), tmp_path / "runs", monkeypatch)
    assert found.old_stores == [str(home / "data-2026.09"), str(home / "upgrade" / "data")]
    assert f"{home}/data-2026.09, {home}/upgrade/data. Delete these folders." in str(found)


def test_a_folder_that_contains_the_store_in_use_is_never_named(home: Path) -> None:
    with_store(home)
    (home / "data").rename(home / "data 2")
    (home / "data" / "databases").mkdir(parents=True)
    (home / "data 2").rename(home / "data" / "inner")
    (home / "store.json").write_text(json.dumps({"version": FIRST.name, "data": "data/inner"}))
    assert unused_stores(home) == []


def test_an_upgrade_without_a_way_back_says_so(home: Path) -> None:
    server = with_store(home)
    with pytest.raises(LocalServerError, match="has not been upgraded"):
        upgrade.undo_upgrade(server)
    upgrade.upgrade(server)
    shutil.rmtree(home / "data")
    with pytest.raises(LocalServerError, match=f"its old store {home}/data is missing"):
        upgrade.undo_upgrade(server)
    assert server.version == NEWEST


def test_a_store_is_never_given_to_an_older_version(home: Path) -> None:
    server = with_store(home, NEWEST.name)
    with pytest.raises(LocalServerError, match=r"Neo4j 5\.26 cannot open a store of a newer version.*upgrade --undo"):
        upgrade.upgrade(server, FIRST.name)


def test_without_a_store_there_is_nothing_to_upgrade(home: Path) -> None:
    with pytest.raises(LocalServerError, match="There is no store in"):
        upgrade.upgrade(LocalNeo4j(home))


def test_a_newer_version_that_cannot_open_the_copy_changes_nothing(home: Path, monkeypatch) -> None:
    server = with_store(home)
    whole = upgrade.use_store

    def used(folder: Path, store: Store) -> None:
        whole(folder, store)
        (folder / "mode").write_text("dies")

    monkeypatch.setattr(upgrade, "use_store", used)
    server.start()
    with pytest.raises(LocalServerError, match=r"cannot serve a copy of the store, so nothing was changed.*is locked"):
        upgrade.upgrade(server)
    assert server.status().state == "running" and server.version == FIRST
    assert set(opened_by(home / "data")) == {FIRST.main_class}
    assert (home / "upgrade" / "logs" / "console.log").exists()
    assert not (home / "upgrade" / "data").exists()


def test_a_disk_without_room_for_a_copy_is_reported_before_anything_is_copied(home: Path, monkeypatch) -> None:
    server = with_store(home)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1000, 999, 1))
    with pytest.raises(LocalServerError, match="copies the store, which needs 300 MB"):
        upgrade.upgrade(server)
    assert not (home / "upgrade").exists() and server.version == FIRST


@pytest.mark.parametrize("owner", ["shutil.copytree", "LocalNeo4j._wait", "Path.rename", "use_store"])
def test_an_interrupted_upgrade_leaves_no_copy_and_the_old_server_runs(home: Path, monkeypatch, owner: str) -> None:
    server = with_store(home)
    server.start()
    stop_at(monkeypatch, owner, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        upgrade.upgrade(server)
    assert not (home / "upgrade").exists() and not (home / "data-2026.09").exists()
    assert LocalNeo4j(home / "upgrade").status().pid is None
    assert server.status().state == "running" and server.version == FIRST


def test_a_store_that_is_in_use_stays_if_the_upgrade_is_interrupted_right_afterwards(home: Path, monkeypatch) -> None:
    server = with_store(home)
    whole = upgrade.use_store

    def interrupted(folder: Path, store: Store) -> None:
        whole(folder, store)
        if folder == home:
            raise KeyboardInterrupt

    monkeypatch.setattr(upgrade, "use_store", interrupted)
    with pytest.raises(KeyboardInterrupt):
        upgrade.upgrade(server)
    assert server.version == NEWEST and (server.store.folder / "databases" / "film").read_text() == "a node"


@pytest.mark.parametrize(
    ("number", "message"), [(errno.ENOSPC, "The disk of .* is full"), (errno.EIO, r"cannot write to .*Errno 5")]
)
def test_a_copy_that_fails_is_deleted_and_the_message_gives_the_reason(
    home: Path, monkeypatch, number: int, message: str
) -> None:
    server = with_store(home)

    def failing(source: str, target: str, **_) -> None:
        Path(target).write_text("half")
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(shutil.copytree, "__kwdefaults__", {})
    monkeypatch.setattr(shutil.copytree, "__defaults__", (False, None, failing, False, False))
    with pytest.raises(LocalServerError, match=message):
        upgrade.upgrade(server)
    assert not (home / "upgrade").exists() and server.version == FIRST


def test_an_old_server_that_does_not_start_again_does_not_hide_the_first_error(home: Path, monkeypatch, caplog) -> None:
    server = with_store(home)
    server.start()
    with pytest.raises(KeyboardInterrupt), server.while_stopped():
        (home / "mode").write_text("dies")
        raise KeyboardInterrupt
    assert "could not be started again: The local Neo4j ended while it started" in caplog.text


@pytest.mark.parametrize(
    ("function", "n"),
    [
        ("upgrade.shutil.copystat", 1),  # in the middle of the copy
        ("LocalNeo4j._launch", 1),  # before the newer version starts on the copy
        ("LocalNeo4j._wait", 1),  # while it starts
        ("LocalNeo4j.stop", 1),  # while it runs
        ("Path.rename", 1),
        ("upgrade.use_store", 2),  # before the copy is used
    ],
    ids=lambda value: str(value),
)
def test_after_a_killed_upgrade_the_old_store_serves_and_the_upgrade_can_be_repeated(
    home: Path, function: str, n: int
) -> None:
    server = with_store(home)
    done = subprocess.run([sys.executable, "-c", KILLED_UPGRADE, home, function, str(n)])
    assert done.returncode == -signal.SIGKILL
    assert server.version == FIRST
    server.start()
    assert opened_by(home / "data") == [FIRST.main_class] * 2
    assert not (home / "upgrade" / "data").exists()
    assert upgrade.upgrade(server).version == NEWEST
    assert server.status().state == "running"
    assert not (home / "upgrade").exists()
