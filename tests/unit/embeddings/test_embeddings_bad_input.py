"""What a graph or a setting can have wrong: told in one sentence, or borne without harm."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.embeddings import memory
from kgplug.embeddings.catalogue import EMBEDDINGS
from kgplug.embeddings.config import embedding_config
from kgplug.embeddings.memory import COPIES, COPIES_ON_QUERIES, count_parameters
from kgplug.embeddings.model import EmbeddingModel
from kgplug.embeddings.parts.build import build_module
from kgplug.embeddings.training import TripleTask
from kgplug.errors import TrainingError
from kgplug.evaluation.link_prediction import count_untrained, evaluate_link_prediction
from tests.unit.helpers.film_families import SMALL, families

pytestmark = pytest.mark.training


def with_rare_ends() -> KnowledgeGraph:
    """The families, a relation of one triple, and an entity of one triple."""
    frame = families().to_dataframe()[["head", "relation", "tail"]]
    rare = pd.DataFrame([("film1", "once", "film2"), ("film3", "genre", "only here")], columns=frame.columns)
    return KnowledgeGraph.from_dataframe(pd.concat([frame, rare]))


def parted(graph: KnowledgeGraph, held_out: np.ndarray) -> tuple[KnowledgeGraph, np.ndarray]:
    """Return (training set over all entities and relations, held-out triples)."""
    kept = graph.triples[~held_out]
    return KnowledgeGraph(graph.entity_keys, graph.entity_labels, graph.relations, kept), graph.triples[held_out]


@pytest.mark.parametrize("name", ["TransE", "TransH", "TransR", "RotatE", "ComplEx", "CompGCN", "NodePiece"])
@pytest.mark.parametrize("held_out", [True, False], ids=["in the test set", "in the training set"])
def test_relations_and_entities_with_one_triple_are_trained(name: str, held_out: bool) -> None:
    graph = with_rare_ends()
    once = graph.triples[:, 1] == list(graph.relations).index("once")
    only = (graph.triples == list(graph.entity_keys).index("only here"))[:, [0, 2]].any(axis=1)
    assert once.sum() == only.sum() == 1
    some = np.arange(graph.n_triples) % 20 == 0
    train, test = parted(graph, some | once | only if held_out else some & ~once & ~only)
    model = EmbeddingModel(name, **SMALL).fit(train, valid=test)
    figures = evaluate_link_prediction(model, test, known=graph.triples)
    assert all(np.isfinite(value) and 0 <= value <= 1 for value in figures.values())
    assert np.isfinite(model.entity_vectors()).all() and len(model.entity_vectors()) == graph.n_entities
    assert all(np.isfinite(part).all() and len(part) == 3 for part in model.relation_vectors().values())
    assert count_untrained(train, test) == (2 if held_out else 0)


def test_a_loss_of_nan_leaves_the_model_with_its_last_good_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, step, steps = families(), TripleTask.step, []
    good = EmbeddingModel("TransE", **{**SMALL, "epochs": 2, "batch_size": 80}).fit(graph)

    def poisoned(self: TripleTask, batch: object) -> torch.Tensor:
        steps.append(1)
        return step(self, batch) * (float("nan") if len(steps) > 4 else 1.0)  # two steps an epoch

    monkeypatch.setattr(TripleTask, "step", poisoned)
    model = EmbeddingModel("TransE", **{**SMALL, "epochs": 9, "batch_size": 80})
    with pytest.raises(TrainingError, match=r"loss became nan in epoch 3 with learning rate 0\.01; the best weights"):
        model.fit(graph)
    assert np.array_equal(model.entity_vectors(), good.entity_vectors())
    assert model.history["losses"] == good.history["losses"]


@pytest.mark.parametrize("name", list(EMBEDDINGS))
def test_parameters_are_counted_without_allocating_them(name: str) -> None:
    graph, config = families(), embedding_config(name, {})
    sizes = {"n_entities": graph.n_entities, "n_relations": graph.n_relations}
    built = build_module(name, config, **sizes, triples=graph.triples, seed=0)
    counted, found = count_parameters(name, config, **sizes), sum(p.numel() for p in built.parameters())
    assert counted == (graph.n_entities * 64 if EMBEDDINGS[name].reads_graph else found)
    generous = 16 * (graph.n_entities * 64 + graph.n_relations * 64**2 + 64**3)
    assert found < generous  # what spares the count; see memory.check_memory


@pytest.mark.parametrize(
    ("name", "settings", "told"),
    [
        ("TransE", {"embedding_dim": 10**9}, "about 1,080 GB of memory"),
        ("TransE", {"embedding_dim": 10**17}, "GB of memory"),
        ("RESCAL", {"embedding_dim": 10**6}, "GB of memory"),
        ("TuckER", {"embedding_dim": 8, "model_settings": {"relation_dim": 10**11}}, "GB of memory"),
        ("CompGCN", {"embedding_dim": 10**10}, "GB of memory"),
    ],
)
def test_a_model_that_does_not_fit_is_refused_before_memory_is_allocated(name: str, settings: dict, told: str) -> None:
    with pytest.raises(TrainingError, match=told) as raised:
        EmbeddingModel(name, **settings).fit(families())
    assert f"embedding_dim={settings['embedding_dim']} on 52 entities and 2 relations needs about" in str(raised.value)
    assert "Use a smaller embedding_dim, or free some memory." in str(raised.value)


@pytest.mark.parametrize(("training", "copies"), [("negatives", COPIES), ("kvsall", COPIES_ON_QUERIES)])
def test_models_are_refused_from_the_memory_limit_on(
    training: str, copies: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, settings = families(), {"embedding_dim": 8, "epochs": 1, "reciprocal": False, "training": training}
    needed = (graph.n_entities + graph.n_relations) * 8 * 4 * copies
    monkeypatch.setattr(memory, "free_bytes", lambda device: needed)
    EmbeddingModel("TransE", **settings).fit(graph)
    monkeypatch.setattr(memory, "free_bytes", lambda device: needed - 1)
    with pytest.raises(TrainingError, match=r"MB of memory .* MB are free"):
        EmbeddingModel("TransE", **settings).fit(graph)


def test_training_on_queries_needs_more_memory() -> None:
    assert COPIES_ON_QUERIES >= COPIES + 4
