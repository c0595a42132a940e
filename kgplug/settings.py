"""Environment variables: the address of the database, and the folder of kgplug's files."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Settings from environment variables only.

    Without `NEO4J_URI`, kgplug uses the managed local Neo4j. Passwords are `SecretStr`, which prints as `**********`.
    The URI is not printed, because it may contain a password by mistake.
    """

    model_config = SettingsConfigDict(extra="ignore", populate_by_name=True, hide_input_in_errors=True)

    neo4j_uri: str | None = Field(default=None, repr=False, description="your own server: bolt://… or neo4j://…")
    neo4j_username: str = Field(default="neo4j", description="user name on that server")
    neo4j_password: SecretStr | None = Field(default=None, description="password of that user")
    neo4j_database: str | None = Field(default=None, description="database name; the server's default if unset")
    neo4j_ca_file: Path | None = Field(
        default=None,
        description="PEM file of certificate authorities for bolt+s:// and neo4j+s://; the system's if unset",
    )
    kgplug_home: Path = Field(
        default_factory=lambda: platformdirs.user_data_path("kgplug"),
        description="folder for the local Neo4j, downloads and runs",
    )
    kgplug_neo4j_version: str | None = Field(
        default=None, description="version of Neo4j for a new local database, such as 5.26; the newest if unset"
    )
    kgplug_checkpoint_s: float = Field(
        default=60.0,
        ge=0,
        allow_inf_nan=False,
        description="minimum number of seconds between two checkpoints of a training; 0: after every epoch",
    )

    kgplug_query_s: float = Field(
        default=600.0,
        gt=0,
        allow_inf_nan=False,
        description="maximum number of seconds of a query with Cypher from kgplug.toml",
    )

    @property
    def runs_dir(self) -> Path:
        """Folder with one sub-folder per run."""
        return self.kgplug_home / "runs"

    @property
    def neo4j_dir(self) -> Path:
        """Home of the managed local Neo4j: its jars, configuration, data and password file."""
        return self.kgplug_home / "neo4j"

    @property
    def pystow_dir(self) -> Path:
        """Folder where PyKEEN keeps its files, unless PYKEEN_HOME or PYSTOW_HOME names another."""
        return self.kgplug_home.expanduser().absolute() / "pystow"

    @property
    def downloads_dir(self) -> Path:
        """Cache of downloaded data sets."""
        return self.kgplug_home / "downloads"


def child_environment(**further: str) -> dict[str, str]:
    """Return the environment for a process that kgplug starts: this process's, without the NEO4J_ variables.

    The password must not be passed on, because administrators and crash reports see the environment of a process.

    Args:
        further: Variables to add or replace.
    """
    return {name: value for name, value in os.environ.items() if not name.upper().startswith("NEO4J_")} | further
