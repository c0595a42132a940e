"""The versions of Neo4j that kgplug can install and run on this machine."""

from __future__ import annotations

from dataclasses import dataclass

from kgplug.errors import UsageError


@dataclass(frozen=True)
class Neo4jVersion:
    """A version of Neo4j whose jars are pinned.

    Attributes:
        name: what users call it, such as "5.26"; a home folder records it.
        release: the exact release that is installed, such as "5.26.30".
        main_class: the class that starts the server.
        oldest_java, newest_java: major versions of Java on which it runs.
    """

    name: str
    release: str
    main_class: str
    oldest_java: int
    newest_java: int

    def __str__(self) -> str:
        return f"Neo4j {self.name}"


VERSIONS = (  # oldest first
    Neo4jVersion("5.26", "5.26.30", "org.neo4j.server.CommunityEntryPoint", 17, 21),
    Neo4jVersion("2026.09", "2026.09.0", "org.neo4j.server.Neo4jCommunity", 21, 21),
)
FIRST, NEWEST = VERSIONS[0], VERSIONS[-1]


def version_named(name: str) -> Neo4jVersion:
    """Return the version with this name or release.

    Raises:
        UsageError: there is none; the message lists those that exist.
    """
    for version in VERSIONS:
        if name in (version.name, version.release):
            return version
    known = " and ".join(version.name for version in VERSIONS)
    raise UsageError(f"kgplug does not install Neo4j {name!r}. Choose one of its versions: {known}.")
