"""A result that failed before it was read raises the server's error, which the driver retries."""

from __future__ import annotations

from typing import Any, cast

import neo4j.exceptions
import pytest

from kgplug.graph.bolt.connection import _used


def failed(cause: Exception | None) -> Any:
    def use(result: object) -> None:
        raise neo4j.exceptions.ResultFailedError(cast("Any", None), "The result has failed.") from cause

    return use


def test_a_deadlock_is_raised_as_such() -> None:
    deadlock = neo4j.exceptions.TransientError("deadlock")
    with pytest.raises(neo4j.exceptions.TransientError, match="deadlock"):
        _used(failed(deadlock), cast("Any", None))


def test_another_failure_stays_what_it_is() -> None:
    with pytest.raises(neo4j.exceptions.ResultFailedError):
        _used(failed(ValueError("other")), cast("Any", None))
    with pytest.raises(neo4j.exceptions.ResultFailedError):
        _used(failed(None), cast("Any", None))
