"""Models by name."""

from __future__ import annotations

import pickle
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kgplug import models
from kgplug.data.artefact import write_artefact
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.embeddings.catalogue import EMBEDDINGS, EXCLUDED
from kgplug.errors import RunError, UsageError
from kgplug.recommenders.catalogue import RECOMMENDERS
from kgplug.recommenders.models.popularity import Popularity

pytestmark = pytest.mark.training


class Mine(Popularity):
    """A model of somebody else's."""

    name = "Mine"

    def __init__(self, **settings: object) -> None:
        super().__init__()
        self.settings = settings


@pytest.fixture
def nothing_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_registered", {})


def test_the_catalogue_is_pykeens_list_without_those_that_do_not_fit() -> None:
    import pykeen.models

    theirs = {cls.__name__ for cls in pykeen.models.model_resolver}
    assert set(EMBEDDINGS) == theirs - set(EXCLUDED)
    assert all(hasattr(pykeen.models, name) for name in EXCLUDED)
    assert all(entry.paper and entry.good_for for entry in EMBEDDINGS.values())


def test_names_are_listed_without_importing_anything_heavy() -> None:
    code = (
        "import sys, kgplug.models as m; m.available(); "
        "print([n for n in ('torch', 'pykeen', 'dgl', 'neo4j', 'implicit', 'matplotlib') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.strip() == "[]"


def test_every_listed_embedding_can_be_made_whatever_the_case() -> None:
    for info in models.available():
        if info.kind == "embedding":
            model = models.create(info.name.upper())
            assert model.name == info.name and model.kind == "embedding" and info.needs == "triples"


def test_recommenders_come_first_in_the_list() -> None:
    listed = [info.name for info in models.available()]
    assert listed[: len(RECOMMENDERS)] == list(RECOMMENDERS)
    assert len(set(map(str.lower, listed))) == len(listed)


@pytest.mark.parametrize(
    ("written", "meant"), [("TransX", "Trans"), ("popularty", "Popularity"), ("itemkn", "ItemKNN")]
)
def test_an_unknown_name_is_told_with_the_nearest(written: str, meant: str) -> None:
    with pytest.raises(UsageError, match=f'Unknown model "{written}". Did you mean "{meant}') as error:
        models.create(written)
    assert "MKR" in str(error.value) and "RotatE" in str(error.value)


def test_a_pykeen_model_that_does_not_fit_is_told_with_the_reason() -> None:
    with pytest.raises(UsageError, match="numbers attached to entities"):
        models.create("complexliteral")


@pytest.mark.usefixtures("nothing_registered")
def test_a_registered_class_is_made_by_name_and_listed() -> None:
    models.register("Mine", Mine)
    made = models.create("mine", a=1)
    assert isinstance(made, Mine) and made.settings == {"a": 1}
    assert [info.good_for for info in models.available() if info.name == "Mine"] == ["A model of somebody else's."]


@pytest.mark.usefixtures("nothing_registered")
@pytest.mark.parametrize("name", ["mkr", "TRANSE", "FixedModel", "Other"])
def test_a_name_of_kgplugs_or_one_the_class_does_not_carry_cannot_be_registered(name: str) -> None:
    with pytest.raises(UsageError, match=r"belongs to a model of kgplug|expected name ="):
        models.register(name, Mine)


def test_models_of_other_packages_are_found_by_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint("Theirs", f"{__name__}:Mine", models.ENTRY_POINT_GROUP),
        EntryPoint("Broken", "no_such_package:Model", models.ENTRY_POINT_GROUP),
    ]
    monkeypatch.setattr(models, "entry_points", lambda group: points if group == models.ENTRY_POINT_GROUP else [])
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    assert isinstance(models.create("theirs"), Mine)
    assert "Theirs" in [info.name for info in models.available()]
    with pytest.raises(UsageError, match=r'"Broken" .* cannot be imported'):
        models.create("Broken")


def test_a_run_is_opened_as_what_it_is(tmp_path: Path) -> None:
    frame = pd.DataFrame({"head": ["a", "b"], "relation": ["r", "r"], "tail": ["b", "c"]})
    model = models.create("TransE", embedding_dim=4, epochs=1, device="cpu")
    model.fit(KnowledgeGraph.from_dataframe(frame))  # type: ignore[arg-type]
    model.save(tmp_path / "run")
    assert models.load(tmp_path / "run").name == "TransE"


def test_pickles_and_other_files_are_refused(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple:
            return (pytest.fail, ("a pickle was read",))

    file = tmp_path / "model.pkl"
    file.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(RunError, match="is a file; expected a run folder"):
        models.load(file)
    with pytest.raises(RunError, match="is not a run"):
        models.load(tmp_path)
    with pytest.raises(RunError, match="is not a run"):
        models.load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"kind": "recommender", "model": "Elsewhere"}, "holds a model that is not installed here"),
        ({"kind": "cake", "model": "TransE"}, "expected a run of kind"),
        ({"kind": "embedding", "model": "MKR", "settings": {}}, "not of kind embedding"),
    ],
)
def test_runs_of_unknown_models_are_refused(content: dict, message: str, tmp_path: Path) -> None:
    write_artefact(tmp_path / "run", {"x": np.zeros(1, np.float32)}, content)
    with pytest.raises(RunError, match=message):
        models.load(tmp_path / "run")
