"""Every error that kgplug raises on purpose.

    KgplugError              exit code 1: the work could not be done
    ├── UsageError           exit code 2: a name, setting or file from the caller is invalid
    ├── DataError            rows, keys or triples that cannot be trained on or imported
    ├── GraphError           a Neo4j server refused a request, or could not be reached
    │   └── LocalServerError the managed local Neo4j could not be installed, started or stopped
    ├── DeadModelError       a model has collapsed, so it is not published unless forced
    ├── RunError             a run's folder is missing, truncated, altered or made from other data
    └── TrainingError        training cannot continue (infinite loss, memory)

A message has one or two sentences: what was expected, what was found, what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any


class KgplugError(Exception):
    """Base of all errors that kgplug raises on purpose.

    Args:
        found: the message: what was expected, what was found, what to do.
        advice: a further sentence of the message, on what to change in kgplug.toml. Reports on a saved run show `found`
            alone, because a saved run does not read kgplug.toml.
    """

    exit_code = 1

    def __init__(self, found: object = "", *, advice: str = "") -> None:
        super().__init__(f"{found} {advice}" if advice else found)
        self.found = str(found)


class UsageError(KgplugError):
    """A name, setting or file from the caller is invalid."""

    exit_code = 2


class DataError(KgplugError):
    """Rows, keys or triples that are unsuitable for training or import."""


class GraphError(KgplugError):
    """A Neo4j server refused a request, or could not be reached."""


class LocalServerError(GraphError):
    """The managed local Neo4j could not be installed, started or stopped."""


class DeadModelError(KgplugError):
    """A model has collapsed: its recommendations no longer depend on what it learnt."""


class RunError(KgplugError):
    """A run's folder is missing, truncated, altered, or belongs to other data."""


class TrainingError(KgplugError):
    """Training cannot continue.

    Attributes:
        history: history of the epochs before the failure; the model holds the best weights of these epochs. None if
            no epoch was completed.
    """

    history: dict[str, Any] | None = None


@contextmanager
def when_interrupted(advice: Callable[[], str | None]) -> Generator[None]:
    """If Ctrl-C ends the `with` block, add advice to the KeyboardInterrupt as a note.

    Args:
        advice: function called on Ctrl-C. It returns the advice, such as that the same command resumes the work, or
            None if there is none.
    """
    try:
        yield
    except KeyboardInterrupt as interrupt:
        if sentence := advice():
            interrupt.add_note(sentence)
        raise


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception of Python, numpy or torch, on any device, means that memory ran out."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError)
        and (type(error).__name__ == "OutOfMemoryError" or any(phrase in text for phrase in _OUT_OF_MEMORY))
    )


_OUT_OF_MEMORY = (
    "can't allocate memory",  # torch on a CPU: DefaultCPUAllocator
    "not enough memory",
    "out of memory",
    "cublas_status_alloc_failed",
)


def unknown_name(kind: str, name: str, valid: Iterable[str]) -> UsageError:
    """Return the error for a name that is not in `valid`. Its message lists the valid names and suggests a similar one.

    `kind` says what the name stands for, such as "model". Case is ignored when looking for a similar name.
    """
    choices = sorted(valid, key=str.lower)
    by_lower = {choice.lower(): choice for choice in choices}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    hint = f' Did you mean "{by_lower[near[0]]}"?' if near else ""
    valid_ones = f"Valid choices: {', '.join(choices)}." if choices else "There are none."
    return UsageError(f'Unknown {kind} "{name}".{hint} {valid_ones}')
