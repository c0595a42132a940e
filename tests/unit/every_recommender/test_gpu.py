"""Recommenders and embeddings on a GPU score as on the CPU; skipped where there is none.

Both are trained with the same seed for a few epochs at a small learning rate: sums run in another order there, and
Adam makes steps of full length of gradients that are nothing but rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import kgplug
from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.embeddings.catalogue import EMBEDDINGS
from kgplug.embeddings.model import EmbeddingModel
from kgplug.embeddings.parts.translational import weight_of
from kgplug.recommenders.base import Recommender
from kgplug.recommenders.models.rkge import RKGE
from kgplug.recommenders.models.rkge_cf import RKGECF
from kgplug.training import loop
from kgplug.training.checkpoint import save_checkpoint
from tests.unit.helpers import contract
from tests.unit.helpers.contract import NAMES, SETTINGS
from tests.unit.helpers.film_families import SMALL, families

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.training,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here, so none is tested"),
]

ON_DEVICES = [name for name in NAMES if "device" in type(kgplug.create(name).config).model_fields]
CLOSE = 1e-4


@pytest.fixture(scope="module")
def interactions() -> Interactions:
    return contract.interactions()


@pytest.fixture(scope="module")
def knowledge() -> KnowledgeGraph:
    return contract.knowledge()


@pytest.fixture(autouse=True)
def whole_precision() -> Iterator[None]:
    """Without TF32, which cuDNN's LSTM takes by default and which has three digits."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


def fitted(name: str, device: str, likes: Interactions, triples: KnowledgeGraph, **options: Any) -> Recommender:
    settings: dict[str, Any] = {**SETTINGS[name], "device": device, "epochs": 3, "learning_rate": 0.01}
    if "embedding_settings" in settings:  # one embedding for both
        settings["embedding_settings"] = {**settings["embedding_settings"], "device": "cpu", "epochs": 3}
    model = kgplug.create(name, **settings)
    assert isinstance(model, Recommender)
    with on_gpu(device == "cuda"):
        return model.fit(
            likes, triples if model.inputs.triples else None, valid=likes, seed=1, progress=False, **options
        )


@contextmanager
def on_gpu(expected: bool) -> Iterator[None]:
    """Assert that what is done takes memory of the GPU, or that it takes none."""
    before = torch.cuda.memory_stats().get("allocation.all.allocated", 0)
    yield
    assert (torch.cuda.memory_stats().get("allocation.all.allocated", 0) > before) == expected


def all_scores(model: Recommender) -> np.ndarray:
    """Return the scores of all pairs; of RKGE-CF, whose own are places, those that the network gives it."""
    if isinstance(model, RKGECF):
        return RKGE._score_block(model, np.arange(len(model.user_keys))).ravel()
    users, items = np.indices((len(model.user_keys), len(model.item_keys))).reshape(2, -1)
    return model.score(users, items)


def assert_same(model: Recommender, other: Recommender) -> None:
    """Compare scores, those of lists, and vectors."""
    assert np.allclose(all_scores(model), all_scores(other), atol=CLOSE, rtol=0)
    listed = [each.recommend(np.arange(len(each.user_keys)), 99, exclude_seen=False)[1] for each in (model, other)]
    assert isinstance(model, RKGECF) or np.allclose(*listed, atol=CLOSE, rtol=0)
    for mine, theirs in ((model.item_vectors(), other.item_vectors()), (model.user_vectors(), other.user_vectors())):
        assert (mine is None) == (theirs is None)
        if mine is not None and theirs is not None:
            assert np.allclose(mine, theirs, atol=10 * CLOSE, rtol=0)


@pytest.mark.parametrize("name", ON_DEVICES)
def test_trained_on_a_gpu_it_scores_as_trained_on_the_cpu(
    name: str,
    interactions: Interactions,
    knowledge: KnowledgeGraph,
) -> None:
    assert_same(*(fitted(name, device, interactions, knowledge) for device in ("cuda", "cpu")))


@pytest.mark.parametrize("name", ON_DEVICES)
def test_trained_on_the_cpu_it_scores_the_same_on_a_gpu(
    name: str,
    interactions: Interactions,
    knowledge: KnowledgeGraph,
    tmp_path: Path,
) -> None:
    model = fitted(name, "cpu", interactions, knowledge)
    model.save(tmp_path / "run")
    assert_same(type(model).load(tmp_path / "run", device="cuda"), model)


@pytest.mark.parametrize("name", ON_DEVICES)
def test_trained_on_a_gpu_it_is_saved_and_scores_the_same_on_the_cpu(
    name: str,
    interactions: Interactions,
    knowledge: KnowledgeGraph,
    tmp_path: Path,
) -> None:
    model = fitted(name, "cuda", interactions, knowledge)
    model.save(tmp_path / "run")
    assert_same(type(model).load(tmp_path / "run", device="cpu"), model)


@pytest.mark.parametrize("name", ON_DEVICES)
def test_a_training_resumes_from_its_checkpoint_on_a_gpu(
    name: str,
    interactions: Interactions,
    knowledge: KnowledgeGraph,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(*arguments: Any, **options: Any) -> None:
        save_checkpoint(*arguments, **options)
        raise KeyboardInterrupt

    checkpoint = tmp_path / "checkpoint"
    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fitted(name, "cuda", interactions, knowledge, checkpoint=checkpoint)
    again = fitted(name, "cuda", interactions, knowledge, checkpoint=checkpoint)
    assert len(again.history["losses"]) == 3
    assert_same(again, fitted(name, "cuda", interactions, knowledge))


EXACT = ["TransE", "TransH", "TransR", "RotatE", "DistMult", "ComplEx"]  # without dropout, which a GPU draws otherwise
ON_AN_EDGE = ("TransH", "TransR")  # start with vectors of length 1, where a limit of 1 has no gradient


@pytest.fixture
def off_the_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start with shorter vectors: on the edge the last digit of a length decides which way a training goes."""
    build = EmbeddingModel._build

    def shorter(self: EmbeddingModel, *arguments: Any) -> Any:
        module = build(self, *arguments)
        if self.name in ON_AN_EDGE:
            with torch.no_grad():
                weight_of(module.entity_representations[0]).mul_(0.7)
        return module

    monkeypatch.setattr(EmbeddingModel, "_build", shorter)


def embedded(name: str, device: str) -> EmbeddingModel:
    """Train on two families of films, three epochs, with a held-out part."""
    graph = families()
    model = EmbeddingModel(name, **{**SMALL, "device": device})
    with on_gpu(device == "cuda"):
        return model.fit(graph, valid=graph.triples[:9], seed=1, progress=False)


def assert_same_embedding(model: EmbeddingModel, other: EmbeddingModel) -> None:
    """Compare scores, vectors of entities and relations, and what is nearest."""
    triples = families().triples
    assert np.allclose(model.score_triples(triples), other.score_triples(triples), atol=CLOSE, rtol=0)
    assert np.allclose(model.entity_vectors(), other.entity_vectors(), atol=CLOSE, rtol=0)
    for part, vectors in model.relation_vectors().items():
        assert np.allclose(vectors, other.relation_vectors()[part], atol=CLOSE, rtol=0)
    assert np.allclose(model.nearest(0, 5)[1], other.nearest(0, 5)[1], atol=CLOSE, rtol=0)


@pytest.mark.usefixtures("off_the_edge")
@pytest.mark.parametrize("name", EXACT)
def test_an_embedding_trained_on_a_gpu_is_that_of_the_cpu(name: str) -> None:
    assert_same_embedding(embedded(name, "cuda"), embedded(name, "cpu"))


@pytest.mark.parametrize("name", list(EMBEDDINGS))
def test_an_embedding_trained_on_a_gpu_is_saved_and_scores_the_same_on_the_cpu(name: str, tmp_path: Path) -> None:
    model = embedded(name, "cuda")
    model.save(tmp_path / "run")
    assert_same_embedding(EmbeddingModel.load(tmp_path / "run"), model)
