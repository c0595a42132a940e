"""What a data set that kgplug can download says about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


class Fetch(Protocol):
    """Download a data set and write it as a CSV folder, each once; check both on every call.

    Args:
        downloads_dir: Folder that keeps the download and the CSV folder.
        progress: Whether to show a bar; None shows it on a terminal only.

    Returns:
        The folder, in the layout of docs/import.md.

    Raises:
        DataError: it cannot be downloaded.
    """

    def __call__(self, downloads_dir: Path, *, progress: bool | None = None) -> Path: ...


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """A data set that `kgplug import NAME` knows.

    Attributes:
        name: Its name on the command line: lower case, with hyphens.
        title: Its name in messages.
        description: One line on what is in it.
        terms: Licence and the work to acknowledge, in one line. Printed before each import.
        size: Size of the download.
        labels: Every label that its nodes have.
        schema: Content of the kgplug.toml that describes its graph, as `GraphSchema.model_validate` takes it.
        example_user, example_item: Keys to show lists and neighbours of.
        fetch: Downloads it.
    """

    name: str
    title: str
    description: str
    terms: str
    size: str
    labels: frozenset[str]
    schema: Mapping[str, Any]
    example_user: int | str
    example_item: int | str
    fetch: Fetch
