"""How far it is from the command line to the first write of a publish.

A step is a call that one of the functions on the call stack of the first write has made until then. Version 0.1.0 took
27 steps over 8 functions, parsed the run's files six times and read them in four places.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

import kgplug
from kgplug import jobs
from kgplug.cli import publishing
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.graph import Graph
from kgplug.graph.server.home import Endpoint
from kgplug.training.runs import Runs
from tests.integration.helpers.sample_graphs import FILM_KEYS, FILM_SCHEMA, FILMS, build

pytestmark = FILM_KEYS

STEPS_OF_0_1_0 = 27
_OURS = str(Path(kgplug.__file__).parent)
_WRITES = {Connection.autocommit.__code__, Connection.write.__code__, Connection.write_rows.__code__}


class Trace:
    """The calls of kgplug's functions until the first write, each with the function that made it."""

    def __init__(self) -> None:
        self.calls: list[tuple[FrameType | None, str]] = []
        self.stack: list[FrameType] = []

    def note(self, frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        is_constructor = code.co_filename == "<string>" and code.co_name.endswith("__init__")  # of a dataclass
        if event != "call" or self.stack or not (_is_ours(frame) or is_constructor):
            return
        if code in _WRITES:
            self.stack = [each for each in _callers(frame) if _is_ours(each)]
        else:
            self.calls.append((next(filter(_is_ours, _callers(frame.f_back)), None), code.co_qualname))

    @property
    def steps(self) -> list[str]:
        """Calls that the functions on the stack of the first write have made."""
        return [name for caller, name in self.calls if any(caller is each for each in self.stack)]

    def count(self, name: str) -> int:
        return [called for _, called in self.calls].count(name)


def _callers(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        if frame.f_code is publishing.publish.__code__:
            return
        frame = frame.f_back


def _is_ours(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_OURS)


@contextmanager
def traced() -> Iterator[Trace]:
    trace = Trace()
    sys.setprofile(trace.note)
    try:
        yield trace
    finally:
        sys.setprofile(None)


def test_a_publish_reaches_its_first_write_in_half_of_the_steps_and_reads_the_run_once(
    connection: Connection, neo4j_server: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(connection, FILMS)
    graph = Graph(connection).use(FILM_SCHEMA)
    settings = {"embedding_dim": 4, "epochs": 1, "device": "cpu"}
    folder = jobs.train("MF", jobs.read(graph, FILM_SCHEMA, name="MF"), Runs(tmp_path / "runs"), settings=settings)
    monkeypatch.setenv("KGPLUG_HOME", str(tmp_path))
    monkeypatch.setenv("NEO4J_URI", neo4j_server.uri)
    monkeypatch.setenv("NEO4J_USERNAME", neo4j_server.username)
    monkeypatch.setenv("NEO4J_PASSWORD", neo4j_server.password.get_secret_value())
    with traced() as trace:
        publishing.publish(folder.name)
    assert [frame.f_code.co_name for frame in reversed(trace.stack)] == [
        "publish", "publish", "write", "ensure_constraints", "write"
    ]  # fmt: skip
    assert len(trace.steps) <= STEPS_OF_0_1_0 // 2, trace.steps
    assert trace.count("_parse_content") == 1
    assert trace.count("restored") == trace.count("Recommender.restored") == 1
