"""Names of earlier versions: they still work, with a warning."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")


class RenamedWarning(DeprecationWarning):
    """A caller used the name that a function or argument had in an earlier version."""


def renamed(**new_names: str) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Return a decorator that lets callers still use an argument's old name, with a `RenamedWarning`.

    Args:
        new_names: old name → new name. Giving both raises `TypeError`, as for any repeated argument.
    """

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
        @functools.wraps(function)
        def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            for old in kwargs.keys() & new_names.keys():
                new = new_names[old]
                if new in kwargs:
                    raise TypeError(f"{function.__qualname__}() got both {new} and {old}, its old name.")
                warnings.warn(f"{function.__qualname__}: {old} is now called {new}.", RenamedWarning, stacklevel=2)
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call

    return decorate


def replaced(old: str, new: str, function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Return a function to keep under the old name: it warns, then calls `function`."""

    @functools.wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        warnings.warn(f"{old} is now called {new}.", RenamedWarning, stacklevel=2)
        return function(*args, **kwargs)

    return call
