"""Every test here fails if Neo4j reports that one of its queries uses something deprecated."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import neo4j
import pytest


class Deprecations(logging.Handler):
    """Collects what Neo4j reports as deprecated; the driver logs it with the query."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if "DEPRECATION" in (message := record.getMessage()):
            self.found.append(message)


@pytest.fixture(scope="session")
def reported_deprecations() -> Iterator[Deprecations]:
    """Let drivers ask for notifications, which `Connection` turns off, and collect the deprecations."""
    make, logger, handler = neo4j.GraphDatabase.driver, logging.getLogger("neo4j.notifications"), Deprecations()

    def with_notifications(*args: Any, **options: Any) -> neo4j.Driver:
        return make(*args, **{**options, "notifications_min_severity": "INFORMATION"})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neo4j.GraphDatabase, "driver", with_notifications)
        logger.addHandler(handler)
        yield handler
        logger.removeHandler(handler)


@pytest.fixture(autouse=True, scope="session")
def notifications_are_on(reported_deprecations: Deprecations) -> None:
    """Before any other fixture opens a connection."""


@pytest.fixture(autouse=True)
def no_deprecations(reported_deprecations: Deprecations) -> Iterator[None]:
    yield
    found, reported_deprecations.found = reported_deprecations.found, []
    assert not found, found[0]
