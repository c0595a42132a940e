"""Every error that kgplug raises on purpose.

    KgplugError              exit code 1: the work could not be done
    ├── UsageError           exit code 2: a name, setting or file the caller wrote is wrong
    ├── DataError            rows, keys or triples that cannot be trained on or imported
    ├── GraphError           what a Neo4j server refused, or could not be reached for
    │   └── LocalServerError the managed local Neo4j could not be installed, started or stopped
    ├── DeadModelError       a model has collapsed, so it is not published unless forced
    ├── RunError             a run folder is missing, cut short, altered or made from other data
    └── TrainingError        training cannot go on (infinite loss, memory)

A message is one sentence or two: what was expected, what was found, what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager


class KgplugError(Exception):
    """Base of all errors that kgplug raises on purpose."""

    exit_code = 1


class UsageError(KgplugError):
    """A name, setting or file that the caller wrote is wrong."""

    exit_code = 2


class DataError(KgplugError):
    """Rows, keys or triples that cannot be trained on or imported."""


class GraphError(KgplugError):
    """A Neo4j server refused a request, or could not be reached."""


class LocalServerError(GraphError):
    """The managed local Neo4j could not be installed, started or stopped."""


class DeadModelError(KgplugError):
    """A model has collapsed: what it learnt no longer changes what it recommends."""


class RunError(KgplugError):
    """A run folder is missing, cut short, altered, or belongs to other data."""


class TrainingError(KgplugError):
    """Training cannot go on.

    Attributes:
        history: of the epochs that were good, whose best weights the model holds; None where there was none.
    """

    history: dict | None = None


@contextmanager
def when_interrupted(advice: Callable[[], str | None]) -> Iterator[None]:
    """Let a Ctrl-C carry what its user should know, such as that the same command goes on.

    Args:
        advice: asked when it happens; None where there is nothing true to say.
    """
    try:
        yield
    except KeyboardInterrupt as interrupt:
        if sentence := advice():
            interrupt.add_note(sentence)
        raise


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an exception of Python, numpy or torch, on whatever device, says that memory has ended."""
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
    """Build the error for a name that is not among the valid ones.

    The nearest valid name (case ignored) is suggested first.
    """
    choices = sorted(valid, key=str.lower)
    by_lower = {choice.lower(): choice for choice in choices}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    hint = f' Did you mean "{by_lower[near[0]]}"?' if near else ""
    valid_ones = f"Valid choices: {', '.join(choices)}." if choices else "There are none."
    return UsageError(f'Unknown {kind} "{name}".{hint} {valid_ones}')
