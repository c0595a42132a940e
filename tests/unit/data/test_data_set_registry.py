"""The registry of data sets: each entry is complete, and a new entry is known to every command."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest

from kgplug.cli import completion, database
from kgplug.data.sources import _movielens_tables
from kgplug.data.sources.catalogue import DATA_SETS, DEMO
from kgplug.data.sources.csv_folder import open_folder
from kgplug.data.sources.data_set import DataSet
from kgplug.graph.importing import importer
from kgplug.graph.schema import DEMO_SCHEMA, GraphSchema
from tests.unit.helpers.printed import printed


@pytest.mark.parametrize("name", DATA_SETS)
def test_an_entry_is_complete(name: str) -> None:
    data_set = DATA_SETS[name]
    assert data_set.name == name == name.lower() and " " not in name
    for each in (field.name for field in fields(DataSet)):
        assert getattr(data_set, each) not in ("", None, frozenset()), each
    for line in (data_set.description, data_set.terms, data_set.size):
        assert "\n" not in line
    schema = GraphSchema.model_validate(data_set.schema)
    assert {schema.user.label, schema.item.label, *schema.knowledge.keys} <= data_set.labels


def test_movielens_names_every_label_that_its_tables_have() -> None:
    assert DATA_SETS["movielens-100k"].labels == _movielens_tables.LABELS


def test_the_demo_reads_its_graph_by_the_schema_of_its_data_set() -> None:
    assert DEMO in DATA_SETS.values() and GraphSchema.model_validate(DEMO.schema) == DEMO_SCHEMA


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataSet:
    """One more data set, of one node, in the registry."""

    def fetch(downloads_dir: Path, *, progress: bool | None = None) -> Path:
        folder = downloads_dir / "planted-3"
        (folder / "nodes").mkdir(parents=True)
        (folder / "nodes" / "Thing.csv").write_text("id\na\n")
        return folder

    monkeypatch.setenv("KGPLUG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    data_set = replace(DEMO, name="planted-3", title="Planted", terms="free for all", fetch=fetch)
    monkeypatch.setitem(DATA_SETS, data_set.name, data_set)
    return data_set


def test_a_new_data_set_is_completed_imported_and_suggested(
    planted: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stop(Exception):
        pass

    def import_folder(connection: object, folder: Path, **options: object) -> None:
        assert [table.name for table in open_folder(folder)] == ["nodes/Thing.csv"]
        assert folder == tmp_path / "downloads" / "planted-3" and options["separator"] == ","
        raise Stop

    class NoGraph:
        connection = None

        def __enter__(self) -> NoGraph:
            return self

        def __exit__(self, *_: object) -> None: ...

    assert completion.data_sets("pla") == ["planted-3"]
    refused = printed("import", "planted")
    assert refused.code == 2 and 'Did you mean "planted-3"?' in refused.err and "no folder planted" in refused.err
    monkeypatch.setattr(database, "open_graph", NoGraph)
    monkeypatch.setattr(importer, "import_folder", import_folder)
    with pytest.raises(Stop):
        database.import_("planted-3", separator=";")


def test_the_help_of_import_names_the_data_sets() -> None:
    assert all(name in printed("import", "--help").out for name in DATA_SETS)


def test_a_folder_is_taken_as_a_folder(planted: DataSet, tmp_path: Path) -> None:
    (tmp_path / "planted-4").mkdir()
    refused = printed("import", "planted-4")
    assert refused.code == 2 and "planted-4 has no nodes/<Label>.csv" in refused.err


def test_names_of_data_sets_are_completed_without_heavy_packages() -> None:
    code = (
        "import sys; from kgplug.cli import completion; completion.data_sets('')\n"
        "print({'torch', 'neo4j', 'pandas', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
