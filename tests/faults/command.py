"""The command line as a user runs it, against the server of the tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from kgplug.graph.server.home import Endpoint
from tests import warm_python

LIMIT_S = 300


def environment(home: Path, endpoint: Endpoint | None, **more: str) -> dict[str, str]:
    """Return the environment of a user with a home of their own, whose server is `endpoint`."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("NEO4J_")}
    server = {}
    if endpoint is not None:
        server = {
            "NEO4J_URI": endpoint.uri,
            "NEO4J_USERNAME": endpoint.username,
            "NEO4J_PASSWORD": endpoint.password.get_secret_value(),
        }
    return own | server | {"KGPLUG_HOME": str(home), "COLUMNS": "200"} | more


def kgplug(
    *arguments: str,
    home: Path,
    endpoint: Endpoint | None,
    limit: Callable[[], None] | None = None,
    code: str = warm_python.COMMAND,
    **more: str,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end.

    Args:
        limit: called in the child before it becomes Python, to take something away from it.
        code: what to run in the place of the command line itself.
        more: environment variables.
    """
    env = environment(home, endpoint, **more)
    if limit is None:
        return warm_python.run(*arguments, env=env, cwd=home, code=code, timeout=LIMIT_S)
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=env,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
        preexec_fn=limit,
    )


def sentence(result: subprocess.CompletedProcess[str], *, exit_code: int = 1) -> str:
    """Return the one sentence that a failed command has said, without a traceback."""
    assert result.returncode == exit_code, result.stderr + result.stdout
    assert "Traceback" not in result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    return line.removeprefix("Error: ")
