"""Description of a data set that kgplug can download."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


class Fetch(Protocol):
    """Function that downloads a data set and writes it as a CSV folder.

    Later calls check the download and the folder, and redo only what is missing or was changed.

    Args:
        downloads_dir: Folder that keeps the download and the CSV folder.
        progress: Whether to show a progress bar. None: only on a terminal or in a notebook.

    Returns:
        The folder, in the layout of docs/import.md.

    Raises:
        DataError: the data set cannot be downloaded.
    """

    def __call__(self, downloads_dir: Path, *, progress: bool | None = None) -> Path: ...


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """A data set that `kgplug import NAME` knows.

    Attributes:
        name: Its name on the command line: lower case, with hyphens.
        title: Its name in messages.
        description: Its content in one line.
        terms: Its licence and the work to cite, in one line. Printed before each import.
        size: Size of the download, such as "2 MB".
        labels: All labels of its nodes.
        schema: Content of the kgplug.toml that describes its graph, as `GraphSchema.model_validate` takes it.
        example_user: Key of a user whose list is shown as an example.
        example_item: Key of an item whose neighbours are shown as an example.
        fetch: Function that downloads it.
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
