"""Python processes that start at once: they are forked from one that has imported torch and the other packages.

A process is a real one: it has its own environment, folder, output and exit code, and it can be killed. Only the
packages are there already, which saves three seconds of a core each time; kgplug itself is imported by the process.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

COMMAND = "from kgplug.cli import main; main()"
PACKAGES = ["neo4j", "numba", "pandas", "pydantic", "rich.progress", "scipy.sparse.linalg", "torch", "typer"]


class Process:
    """A running Python process, in the manner of `subprocess.Popen` with its output in two files.

    Args:
        arguments: `sys.argv[1:]`.
        code: Program to run; by default the command line.
        env: Its whole environment.
        cwd: Its folder.
    """

    def __init__(self, *arguments: str, env: Mapping[str, str], cwd: Path, code: str = COMMAND) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PACKAGES)
        self._files = [_new_file(f"kgplug-{name}-") for name in ("stdout", "stderr")]
        self._process = context.Process(target=_become, args=(code, arguments, dict(env), str(cwd), self._files))
        self._process.start()

    def poll(self) -> int | None:
        """Return the exit code, -9 after SIGKILL; None while it runs."""
        return self._process.exitcode

    def output(self) -> str:
        """Return what it has written to stdout and stderr so far."""
        return "".join(file.read_text(errors="replace") for file in self._files)

    def kill(self) -> None:
        self._process.kill()

    def communicate(self, timeout: float = 300) -> tuple[str, str]:
        """Wait for its end; return what it wrote to stdout and stderr. May be called once.

        Raises:
            subprocess.TimeoutExpired: The process ran longer than `timeout` seconds, and was killed.
        """
        self._process.join(timeout)
        out, err = (file.read_text() for file in self._files)
        for file in self._files:
            file.unlink()
        if self.poll() is None:
            self.kill()
            raise subprocess.TimeoutExpired("python", timeout, out, err)
        return out, err


def run(
    *arguments: str, env: Mapping[str, str], cwd: Path, code: str = COMMAND, timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """Run a process to its end; arguments as for `Process`."""
    process = Process(*arguments, env=env, cwd=cwd, code=code)
    out, err = process.communicate(timeout)
    return subprocess.CompletedProcess(arguments, process.poll() or 0, out, err)


def _new_file(prefix: str) -> Path:
    opened, path = tempfile.mkstemp(prefix=prefix)
    os.close(opened)
    return Path(path)


def _become(code: str, arguments: tuple[str, ...], env: dict[str, str], cwd: str, files: list[Path]) -> None:
    """Turn a fork into the process that `python -c code` would be."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    for file, stream in zip(files, (1, 2), strict=True):
        opened = os.open(file, os.O_WRONLY | os.O_APPEND)
        os.dup2(opened, stream)
        os.close(opened)
    sys.argv = ["-c", *arguments]
    sys.path[:0] = [path for path in env.get("PYTHONPATH", "").split(os.pathsep) if path and path not in sys.path]
    try:
        exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
    finally:
        atexit._run_exitfuncs()  # a fork of multiprocessing would leave them out
