"""Shell completion: its script for bash, zsh, fish and PowerShell, and the names that can be completed.

The shell waits for the names each time Tab is pressed. So they come from folders and tables of names, never from a
model, a run's content or the database.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from kgplug.errors import UsageError

PROGRAM = "kgplug"
SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")
_VARIABLE = "_KGPLUG_COMPLETE"


def answer(arguments: Sequence[str]) -> str | None:
    """Return what `--show-completion [SHELL]` or `--install-completion [SHELL]` prints; None for any other arguments.

    If no shell is named, use the shell that runs this command.

    Raises:
        UsageError: the shell is unknown, or cannot be detected.
    """
    if not arguments or arguments[0] not in ("--show-completion", "--install-completion") or len(arguments) > 2:
        return None
    from typer.completion import get_completion_script, install  # pyright: ignore[reportPrivateImportUsage]

    shell = _known(arguments[1]) if len(arguments) == 2 else _own_shell()
    if arguments[0] == "--show-completion":
        return get_completion_script(prog_name=PROGRAM, complete_var=_VARIABLE, shell=shell)
    _, path = install(shell, PROGRAM, _VARIABLE)
    return f"Completion for {shell} is in {path}. Open a new terminal to use it."


def _own_shell() -> str:
    from shellingham import ShellDetectionFailure, detect_shell

    try:
        found = detect_shell()[0]
    except (ShellDetectionFailure, OSError):
        found = Path(os.environ.get("SHELL", "")).name
    if found not in SHELLS:
        raise UsageError(f"The shell could not be detected. Name it: --show-completion SHELL, one of {_choices()}.")
    return found


def _known(shell: str) -> str:
    name = shell.lower()
    if name not in SHELLS:
        raise UsageError(f'No completion for the shell "{shell}". Valid choices: {_choices()}.')
    return name


def _choices() -> str:
    return ", ".join(SHELLS)


def model_names(incomplete: str) -> list[str]:
    """Return the names of trainable models that begin with `incomplete`."""
    from kgplug.models import names

    return _fitting(names(), incomplete)


def run_names(incomplete: str) -> list[str]:
    """Return completions of `incomplete`: names of models that have runs, then the ids of the runs, newest first."""
    models, ids = _trained()
    return _fitting([*models, *ids], incomplete)


def trained_models(incomplete: str) -> list[str]:
    """Return completions of `incomplete`: names of models that have runs on this machine."""
    return _fitting(_trained()[0], incomplete)


def _trained() -> tuple[list[str], list[str]]:
    """Return the names of the models that have runs on this machine, and the ids of these runs, newest first."""
    from kgplug.data.artefact import id_prefix
    from kgplug.models import names
    from kgplug.settings import Settings

    folder = Settings().runs_dir
    ids = [path.name for path in folder.iterdir() if not path.name.startswith(".")] if folder.is_dir() else []
    ids = sorted(ids, key=lambda run: run.split("-")[-3:], reverse=True)
    trained = {run.rsplit("-", 3)[0] for run in ids}
    return [name for name in names() if id_prefix(name) in trained], ids


def query_names(incomplete: str) -> list[str]:
    """Return the names of shipped queries that begin with `incomplete`."""
    from kgplug.graph.queries import names

    return _fitting(names(), incomplete)


def data_sets(incomplete: str) -> list[str]:
    """Return the sources for `import` that begin with `incomplete`: names of known data sets, and folders."""
    from kgplug.data.sources.catalogue import DATA_SETS

    typed = Path(incomplete)
    parent = typed if incomplete.endswith("/") else typed.parent
    folders = [f"{path}/" for path in parent.glob("*/") if not path.name.startswith(".")] if parent.is_dir() else []
    return _fitting([*DATA_SETS, *sorted(folders)], incomplete)


def _fitting(names: list[str], incomplete: str) -> list[str]:
    """Return the names that begin with `incomplete`. In bash, each & is escaped by a backslash."""
    fitting = [name for name in names if name.startswith(incomplete)]
    return [name.replace("&", r"\&") for name in fitting] if "bash" in os.environ.get(_VARIABLE, "") else fitting
