"""Messages give advice only when it applies."""

from __future__ import annotations

import errno
from pathlib import Path

import pandas as pd
import pytest
from neo4j.exceptions import DatabaseError, IncompleteCommit

import kgplug
from kgplug.data.artefact import disk_errors
from kgplug.data.interactions import Interactions
from kgplug.errors import DataError, GraphError, RunError, TrainingError
from kgplug.graph.bolt import server_errors
from kgplug.graph.bolt.server_errors import translated_errors
from kgplug.graph.server.home import LocalHome, LocalStatus
from kgplug.training.config import ModelConfig
from kgplug.training.memory import building

pytestmark = pytest.mark.training


def failed_write(uri: str) -> str:
    """Return the message about a database that can no longer write."""
    error = DatabaseError()
    error._message = "Could not append to the log: Transaction #7"  # pyright: ignore[reportAttributeAccessIssue]
    error._neo4j_code = "Neo.DatabaseError.Transaction.TransactionCommitFailed"  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(GraphError) as raised, translated_errors(uri):
        raise error
    return str(raised.value)


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URI of a local server that seems to run."""
    uri = "bolt://127.0.0.1:17001"
    monkeypatch.setenv("KGPLUG_HOME", str(tmp_path))
    (tmp_path / "neo4j").mkdir()
    status = LocalStatus("running", 1, uri, "5", None, tmp_path / "neo4j", tmp_path / "neo4j" / "console.log", 0)
    monkeypatch.setattr(LocalHome, "status", lambda _: status)
    return uri


def test_the_message_never_advises_to_kill_a_foreign_server(local: str) -> None:
    said = failed_write("neo4j+s://db.example.com")
    assert "can no longer write: Could not append to the log." in said
    assert "kill" not in said and "db stop" not in said and "its disk is full" not in said


def test_the_local_server_is_stopped_by_its_own_command(local: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = failed_write(local)
    assert "`kgplug db stop`, then `kgplug db start`" in said and "is full" not in said
    monkeypatch.setattr(server_errors, "_FULL_BYTES", 2**60)
    assert "is full. Free some space, then restart" in failed_write(local)


def test_a_broken_commit_does_not_claim_that_every_command_can_be_repeated() -> None:
    with pytest.raises(GraphError) as raised, translated_errors("bolt://db"):
        raise IncompleteCommit("")
    assert "Run the command again if it was import, publish or erase-user" in str(raised.value)


@pytest.mark.parametrize(
    ("number", "below_home", "advice"),
    [
        (errno.ENOSPC, True, "Free some space, or set KGPLUG_HOME to another disk, then try again."),
        (errno.ENOSPC, False, "Free some space, or choose another folder, then try again."),
        (errno.EACCES, True, "Check the disk and the permissions of "),
    ],
)
def test_an_error_of_the_disk_comes_with_advice_for_its_cause(
    number: int, below_home: bool, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KGPLUG_HOME", str(tmp_path / "home"))
    path = tmp_path / ("home" if below_home else "elsewhere") / "run"
    with pytest.raises(RunError) as raised, disk_errors(path):
        raise OSError(number, "reason")
    assert advice in str(raised.value) and ("Free some space" in str(raised.value)) == (number == errno.ENOSPC)


@pytest.mark.parametrize(("settings", "hint"), [({}, "Free some memory."), ({"embedding_dim": 8}, "such as 4")])
def test_a_smaller_embedding_dim_is_advised_only_for_models_that_have_one(settings: dict, hint: str) -> None:
    fields = {name: (int, value) for name, value in settings.items()}
    from pydantic import create_model

    config = create_model("Config", __base__=ModelConfig, **fields)()  # pyright: ignore[reportCallIssue, reportArgumentType]

    with pytest.raises(TrainingError) as raised, building("Model", config):
        raise MemoryError("no memory")
    assert hint in str(raised.value)
    assert ("embedding_dim" in str(raised.value)) == bool(settings)


def test_the_schema_file_is_named_only_where_there_is_a_graph() -> None:
    frame = pd.DataFrame({"u": [1, 2], "i": [1, 2], "r": [1.0, 2.0]})
    rows = Interactions.from_dataframe(frame, user="u", item="i", rating="r", like_threshold=5)
    with pytest.raises(DataError, match="Lower like_threshold, or") as raised:
        kgplug.create("Popularity").fit(rows)  # pyright: ignore[reportArgumentType]
    assert "kgplug.toml" not in str(raised.value)
