"""Embedding models on disk: saved, loaded, interrupted, published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.embeddings.model import EmbeddingModel
from kgplug.embeddings.training import TripleTask
from kgplug.errors import DataError, RunError

pytestmark = pytest.mark.training

SMALL = {"embedding_dim": 8, "epochs": 5, "batch_size": 16, "negatives": 2, "device": "cpu"}


def labelled(n: int = 120) -> KnowledgeGraph:
    rng = np.random.default_rng(0)
    keys = np.array([*range(30), *[f"person {n}" for n in range(10)], "loose"], dtype=object)
    labels = np.array(["Movie"] * 30 + ["Person"] * 10 + [""], dtype=object)
    triples = np.stack([rng.integers(0, 30, n), rng.integers(0, 2, n), rng.integers(30, 41, n)], axis=1)
    return KnowledgeGraph.from_arrays(keys, labels, np.array(["ACTED", "DIRECTED"], dtype=object), triples)


@pytest.mark.parametrize("name", ["TransE", "TransH", "RotatE", "ConvE", "RGCN", "CompGCN", "NodePiece"])
def test_a_loaded_model_is_the_saved_one(name: str, tmp_path: Path) -> None:
    graph = labelled()
    model = EmbeddingModel(name, **SMALL, model_settings={}).fit(graph, seed=3)
    model.save(tmp_path / "run", metrics={"MRR": 0.5})
    loaded = EmbeddingModel.load(tmp_path / "run")
    assert np.array_equal(loaded.entity_vectors(), model.entity_vectors())
    assert np.array_equal(loaded.score_triples(graph.triples), model.score_triples(graph.triples))
    assert list(loaded.entity_keys) == list(graph.entity_keys) and list(loaded.entity_labels) == list(
        graph.entity_labels
    )
    assert (loaded.name, loaded.run, loaded.seed, loaded.history) == (name, model.run, 3, model.history)
    assert loaded.config == model.config


@pytest.mark.parametrize("settings", [{}, {"batch_size": 1, "negatives": 1}])
def test_an_interrupted_training_resumes_bit_by_bit(
    settings: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, checkpoint = labelled(60), tmp_path / "checkpoint"
    whole = EmbeddingModel("TransE", **{**SMALL, **settings}).fit(graph, valid=graph.triples[:20])
    drawn = TripleTask.batches

    def killed(self: TripleTask, epoch: int, rng: np.random.Generator) -> object:
        if epoch == 3:
            raise KeyboardInterrupt
        return drawn(self, epoch, rng)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(TripleTask, "batches", killed)
        EmbeddingModel("TransE", **{**SMALL, **settings}).fit(graph, valid=graph.triples[:20], checkpoint=checkpoint)
    resumed = EmbeddingModel("TransE", **{**SMALL, **settings})
    resumed.fit(graph, valid=graph.triples[:20], checkpoint=checkpoint)
    assert np.array_equal(resumed.entity_vectors(), whole.entity_vectors())
    assert resumed.history["losses"] == whole.history["losses"]


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    graph = labelled()
    EmbeddingModel("TransE", **SMALL).fit(graph, checkpoint=tmp_path / "c")
    with pytest.raises(RunError, match="other data or settings"):
        EmbeddingModel("TransE", **{**SMALL, "negatives": 3}).fit(graph, checkpoint=tmp_path / "c")


def test_a_publication_has_the_vectors_of_each_label_and_none_without() -> None:
    graph = labelled()
    model = EmbeddingModel("TransE", **SMALL).fit(graph)
    publication = model.publication(details={"a": 1})
    assert (publication.model, publication.run, publication.lists) == ("TransE", model.run, None)
    assert [part.label for part in publication.vectors] == ["Movie", "Person"]
    movies, people = publication.vectors
    assert list(movies.keys) == list(range(30)) and len(people.keys) == 10
    row = graph.entities_of(np.array([7], dtype=object), label="Movie")[0]
    assert np.array_equal(movies.vectors[7], model.entity_vectors()[row])
    assert movies.vectors.dtype == np.float32


def test_neighbours_can_be_restricted_to_one_label() -> None:
    graph = labelled()
    model = EmbeddingModel("TransE", **SMALL).fit(graph)
    entities, _ = model.nearest(0, 50, label="Person")
    assert len(entities) == 10 and set(graph.entity_labels[entities]) == {"Person"}


def test_a_graph_without_labels_cannot_be_published() -> None:
    frame = pd.DataFrame({"head": ["a", "b"], "relation": ["r", "r"], "tail": ["b", "c"]})
    model = EmbeddingModel("TransE", **SMALL).fit(KnowledgeGraph.from_dataframe(frame))
    with pytest.raises(DataError, match="without node labels"):
        model.publication()
