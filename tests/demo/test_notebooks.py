"""The notebooks run from top to bottom on the demo's graph, and are committed without outputs."""

from __future__ import annotations

import html
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.demo.conftest import BARE_ID, Demo

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_without_outputs(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    assert all(not cell.outputs and cell.execution_count is None for cell in cells if cell.cell_type == "code")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows_tables_and_pictures(
    path: Path, demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KGPLUG_HOME", str(demo.home))
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:  # fewer epochs: what is tested is that it runs
        cell.source = cell.source.replace("EPOCHS = 30", "EPOCHS = 2")
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    data = [output.get("data", {}) for output in outputs]
    pictures = "".join(html.unescape(one.get("text/html", "")) for one in data)  # with the code of the viewer
    captions = re.findall(r'"caption": "([^"]*)"', pictures)
    assert {"Star Wars", "Harrison Ford", "actor"} <= set(captions)
    assert not any(BARE_ID.search(text) for text in [*captions, *(one.get("text/plain", "") for one in data)])
    kinds = [set(output.get("data", {})) for output in outputs]
    assert sum("image/png" in kind for kind in kinds) >= 2
    assert sum("text/html" in kind for kind in kinds) >= 4
