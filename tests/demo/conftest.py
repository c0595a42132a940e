"""The demo, run as a user runs it in a home of its own, killed on the way: what the tests here look at."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kgplug.graph.graph import Graph, connect
from kgplug.graph.schema import DEMO_SCHEMA
from kgplug.graph.server.install import install
from kgplug.graph.server.versions import version_named
from tests import warm_python

KILLED_AFTER = ("MovieLens-100K", "Train TransE", "Evaluate")  # a step whose end is seen; then kill in the next one
PUBLISHED = ("TransE", "MKR", "KGCN")
LIMIT_S = 1200
BARE_ID = re.compile(r"\b[mg]\.[01]\w+")  # of Freebase
EPOCHS = 20  # of MKR and KGCN, whose four trainings take 80 s of a core with the settings of the demo itself
COMMAND = f"""
from kgplug.cli import demo, main
demo.SETTINGS = {{name: {{**settings, "epochs": {EPOCHS}}} for name, settings in demo.SETTINGS.items()}}
main()
"""


@dataclass(frozen=True)
class Demo:
    """A finished demo.

    Attributes:
        home: its KGPLUG_HOME.
        output: what the last, undisturbed run printed.
        killed: output of the runs that were killed.
    """

    home: Path
    output: str
    killed: list[str]

    def kgplug(self, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command against the demo's server."""
        return warm_python.run(*arguments, env=environment(self.home), cwd=cwd or self.home)


def command() -> list[str]:
    return [sys.executable, "-c", COMMAND]


def environment(home: Path) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("NEO4J_")}
    return own | {"KGPLUG_HOME": str(home), "COLUMNS": "160", "PYTHONUNBUFFERED": "1"}


def run_and_kill(home: Path, *, after: str, delay_s: float) -> str:
    """Start the demo and SIGKILL it a moment after a step has ended; return what it had printed."""
    process = warm_python.Process("demo", env=environment(home), cwd=home, code=COMMAND)
    began = time.monotonic()
    while after not in process.output():
        assert process.poll() is None and time.monotonic() - began < LIMIT_S, process.output()
        time.sleep(0.1)
    time.sleep(delay_s)
    process.kill()
    output = "".join(process.communicate())
    assert process.poll() == -signal.SIGKILL, output
    return output


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, neo4j_jars: Path, quick_java: None) -> Iterator[Demo]:
    """Run the demo, with fewer epochs, to its end after killing it three times; its server is stopped afterwards."""
    home = tmp_path_factory.mktemp("demo")
    install(
        neo4j_jars, version_named(os.environ["KGPLUG_NEO4J_VERSION"])
    )  # its download is tested where they are missing
    (home / "neo4j").mkdir(mode=0o700)
    (home / "neo4j" / "jars").symlink_to(neo4j_jars)
    try:
        killed = [run_and_kill(home, after=step, delay_s=1.5) for step in KILLED_AFTER]
        finished = subprocess.run(
            [*command(), "demo"],
            env=environment(home),
            cwd=home,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert finished.returncode == 0, finished.stdout
        yield Demo(home, finished.stdout, killed)
    finally:
        subprocess.run([*command(), "db", "stop"], env=environment(home), cwd=home, check=False, capture_output=True)


@pytest.fixture
def demo_graph(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> Iterator[Graph]:
    """A connection to the demo's graph."""
    for name in list(os.environ):
        if name.startswith("NEO4J_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("KGPLUG_HOME", str(demo.home))
    with connect() as graph:
        yield graph.use(DEMO_SCHEMA)
