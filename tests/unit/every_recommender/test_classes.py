"""Every model is a class that can be imported, with its settings as its signature."""

from __future__ import annotations

import inspect
import subprocess
import sys

import numpy as np
import pytest

import kgplug
from kgplug import embeddings, recommenders
from kgplug.embeddings import TransE
from kgplug.embeddings.model import EmbeddingModel
from kgplug.errors import RunError, UsageError
from kgplug.recommenders import MKR, ItemKNN

pytestmark = pytest.mark.training

TRIPLES = np.array([["a", "r", "b"], ["b", "r", "c"], ["c", "q", "a"]])


def test_the_class_is_what_create_makes():
    assert type(kgplug.create("MKR")) is MKR
    assert type(kgplug.create("TransE")) is TransE
    assert issubclass(TransE, EmbeddingModel)


@pytest.mark.parametrize("entry", kgplug.available(), ids=lambda entry: entry.name)
def test_every_model_can_be_imported(entry):
    made = type(kgplug.create(entry.name))
    package = recommenders if entry.kind == "recommender" else embeddings
    assert getattr(package, made.__name__) is made
    assert made.__name__ in dir(package)


@pytest.mark.parametrize("model", [MKR, ItemKNN, TransE])
def test_the_signature_names_the_settings_and_their_defaults(model):
    parameters = inspect.signature(model).parameters
    config = model().config
    assert list(parameters) == list(type(config).model_fields)
    assert all(parameter.default == getattr(config, name) for name, parameter in parameters.items())


def test_an_unknown_class_or_setting_is_refused():
    with pytest.raises(ImportError, match="TransQ"):
        from kgplug.embeddings import TransQ  # noqa: F401
    with pytest.raises(AttributeError, match="has no attribute 'Nope'"):
        recommenders.Nope  # noqa: B018
    with pytest.raises(UsageError, match='Unknown setting of TransE "dimension"'):
        TransE(dimension=3)


def test_a_run_is_loaded_by_its_own_class(tmp_path):
    import pandas as pd

    frame = pd.DataFrame(TRIPLES, columns=["head", "relation", "tail"])
    model = TransE(embedding_dim=4, epochs=1, device="cpu").fit(
        kgplug.KnowledgeGraph.from_dataframe(frame), progress=False
    )
    model.save(tmp_path / "run")
    loaded = TransE.load(tmp_path / "run")
    assert type(loaded) is TransE
    assert np.array_equal(loaded.entity_vectors(), model.entity_vectors())
    with pytest.raises(RunError, match="contains TransE"):
        embeddings.DistMult.load(tmp_path / "run")


def test_importing_the_packages_imports_no_torch():
    code = "import sys, kgplug.recommenders, kgplug.embeddings; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
