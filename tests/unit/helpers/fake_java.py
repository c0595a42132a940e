"""A small program that stands for Java and Neo4j: it listens on the server's port and does nothing else.

The file `mode` in the home folder makes it fail in one way. It writes the name of its main class into the store's file
`opened`, if there is a store.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

FAKE_JAVA = """#!{python}
import os, pathlib, re, signal, socket, sys, time
if "-version" in sys.argv:
    sys.exit(print('openjdk version "21.0.1"', file=sys.stderr))
home = pathlib.Path(next(a for a in sys.argv if a.startswith("--home-dir=")).split("=", 1)[1])
launches = home / "launches"
number = len(launches.read_text().split()) if launches.exists() else 0
with launches.open("a") as file:
    print(os.getpid(), file=file)
mode = (home / "mode").read_text() if (home / "mode").exists() else ""
if mode == "dies":
    sys.exit("2026-01-01 INFO  Starting...\\n2026-01-01 ERROR Failed to start Neo4j\\nCaused by: store is locked\\n")
if mode == "is killed":
    os.kill(os.getpid(), signal.SIGKILL)
if mode == "port taken" or mode == "port taken once" and number == 0:
    sys.exit("Caused by: java.net.BindException: Address already in use")
if mode == "ignores":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
settings = (home / "conf/neo4j.conf").read_text()
data = home / re.search(r"server.directories.data=(.*)", settings)[1]
if data.is_dir():  # a store remembers who opened it
    with (data / "opened").open("a") as file:
        print(next(a for a in sys.argv if a.startswith("org.neo4j.")), file=file)
if mode != "mute":
    port = int(re.search(r"bolt.listen_address=127.0.0.1:(\\d+)", settings)[1])
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen()
time.sleep(60)
"""


def use_fake_java(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the program as the only Java: the one that JAVA_HOME names."""
    program = home / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(FAKE_JAVA.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(home))
