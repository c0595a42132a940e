"""CFKG: scores of triples by the embedding's own equation, likes as a relation, what decides when training stops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse

import kgplug
from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.data.ranking.auc import auc
from kgplug.data.sampling import negative_sampler
from kgplug.embeddings.model import EmbeddingModel
from kgplug.embeddings.training import TripleTask
from kgplug.embeddings.validation import LabelledTriples
from kgplug.errors import TrainingError, UsageError
from kgplug.recommenders.models.cfkg import CFKG
from tests.unit.helpers.literal_collaborative import literal_triples
from tests.unit.helpers.planted import directors_and_fans, shuffled, tiny, unseen_share

pytestmark = pytest.mark.training

QUICK = {"embedding_dim": 4, "batch_size": 4, "learning_rate": 0.05, "device": "cpu"}


def _fitted(embedding: str, *, epochs: int = 20, **settings: object) -> CFKG:
    interactions, knowledge = tiny()
    model = CFKG(embedding=embedding, embedding_settings={**QUICK, **settings}, epochs=epochs)
    return model.fit(interactions, knowledge, progress=False)


def _literal(model: CFKG, user: int, item: int) -> float:
    """Score of (user, likes, item), from the vectors that the embedding exports."""
    vectors = model.embedding.entity_vectors().astype(np.float64)
    parts = {name: part[-1].astype(np.float64) for name, part in model.embedding.relation_vectors().items()}
    u, i = vectors[user], vectors[4 + item]
    if model.embedding.name == "TransE":
        return -float(np.abs(u + parts["translation"] - i).sum())
    if model.embedding.name == "DistMult":
        return float((u * parts["diagonal"] * i).sum())
    u, r, i = (x[:4] + 1j * x[4:] for x in (u, parts["diagonal"], i))  # ComplEx
    return float((u * r * i.conj()).sum().real)


@pytest.mark.parametrize("embedding", ["TransE", "DistMult", "ComplEx"])
def test_scores_are_those_of_the_embedding_for_likes(embedding: str) -> None:
    settings: dict[str, Any] = {"model_settings": {"scoring_fct_norm": 1}} if embedding == "TransE" else {}
    model = _fitted(embedding, **settings)
    expected = np.array([[_literal(model, user, item) for item in range(5)] for user in range(4)])
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(model._score_block(np.arange(4)), expected, atol=1e-5)
    users, items = np.indices((4, 5)).reshape(2, -1)
    np.testing.assert_allclose(model.score(users, items), expected.ravel(), atol=1e-5)


def test_the_embedding_learns_likes_as_one_more_relation_and_all_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[KnowledgeGraph] = []
    fit = EmbeddingModel.fit

    def noted(self: EmbeddingModel, knowledge: KnowledgeGraph, **options: Any) -> EmbeddingModel:
        given.append(knowledge)
        return fit(self, knowledge, **options)

    monkeypatch.setattr(EmbeddingModel, "fit", noted)
    _fitted("TransE")
    likes, facts = literal_triples(*tiny())
    assert sorted(map(tuple, given[0].triples.tolist())) == sorted(likes + facts)
    assert given[0].n_entities == 4 + 5 + 3 and given[0].n_relations == 5  # 4 users, 5 items, 3 others


def test_the_auc_of_validation_likes_is_measured_and_its_best_epoch_kept() -> None:
    train, valid, _ = directors_and_fans(fans=6)[0].split((0.6, 0.3, 0.1), seed=0, by="row")
    knowledge = directors_and_fans(fans=6)[1]
    settings = {**QUICK, "embedding_dim": 8, "batch_size": 64}
    seen: list[float] = []
    model = CFKG(embedding_settings=settings, epochs=30, patience=3).fit(
        train, knowledge, valid=valid, progress=False, on_epoch=lambda _, metric: seen.append(metric)
    )
    assert model.history["validation"] == seen and len(seen) == model.history["best_epoch"] + 4 < 30
    rng = np.random.default_rng([0, 0x7A11D])
    others = negative_sampler(train, valid).draw(valid.users, rng)
    by_user = model._scores_of(np.arange(train.n_users))  # also of users without training likes
    scores = by_user[np.tile(valid.users, 2), np.concatenate([valid.items, others])]
    assert auc(np.arange(2 * len(valid)) < len(valid), scores) == pytest.approx(max(seen), abs=1e-6)


def test_the_auc_of_labelled_triples_needs_no_recommender() -> None:
    knowledge = directors_and_fans()[1]
    wrong = knowledge.triples[:50].copy()
    wrong[:, 2] = wrong[:, 0]
    labelled = LabelledTriples(np.concatenate([knowledge.triples[:50], wrong]), np.arange(100) < 50)
    model = EmbeddingModel("TransE", embedding_dim=8, epochs=5, device="cpu")
    model.fit(knowledge, valid=labelled, progress=False)
    found = auc(labelled.labels, model.score_triples(labelled.triples))
    assert found == pytest.approx(max(model.history["validation"]), abs=1e-6)


PLANTED = {"embedding_dim": 16, "batch_size": 64, "learning_rate": 0.02, "device": "cpu"}


def test_it_finds_the_director_through_the_graph_and_not_without_it() -> None:
    interactions, knowledge, director, fan = directors_and_fans()
    told, untold = (
        unseen_share(CFKG(embedding_settings=PLANTED).fit(interactions, graph, progress=False), director, fan)
        for graph in (knowledge, shuffled(knowledge))
    )
    assert told > 0.5  # by chance: 0.03
    assert untold < 0.6 * told


def test_new_users_get_scores_by_ridge_regression_on_those_of_the_training_users(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kgplug.recommenders.new_users._USERS_AT_ONCE", 7)
    interactions: Interactions = directors_and_fans(fans=6)[0]
    model = CFKG(embedding_settings=QUICK, epochs=5).fit(interactions, directors_and_fans(fans=6)[1], progress=False)
    known, items = model.liked.toarray(), model.item_vectors().astype(np.float64)
    x = known @ items / np.sqrt(known.sum(axis=1, keepdims=True))
    y = model._score_block(np.arange(len(known))).astype(np.float64)
    centred = x - x.mean(axis=0)
    gram = centred.T @ centred
    weights = np.linalg.solve(
        gram + 1e-2 * np.trace(gram) / len(gram) * np.eye(len(gram)), centred.T @ (y - y.mean(axis=0))
    )
    new = np.zeros((1, known.shape[1]))
    new[0, :3] = 1
    expected = (new @ items / np.sqrt(3) - x.mean(axis=0)) @ weights + y.mean(axis=0)
    np.testing.assert_allclose(model._score_new_users(sparse.csr_matrix(new)), expected, atol=1e-4)
    np.testing.assert_allclose(model._score_new_users(sparse.csr_matrix(0 * new))[0], y.mean(axis=0), atol=1e-4)


def test_a_training_user_without_likes_gets_the_mean_scores_of_the_others() -> None:
    interactions, knowledge = tiny()
    with_one_more = Interactions.from_arrays(
        np.arange(5), interactions.item_keys, interactions.users, interactions.items
    )
    model = CFKG(embedding_settings=QUICK, epochs=5).fit(with_one_more, knowledge, progress=False)
    scores = model._score_block(np.arange(5))
    np.testing.assert_allclose(scores[4], scores[:4].mean(axis=0), atol=1e-5)


@pytest.mark.parametrize("embedding", ["RotatE", "CompGCN", "SimplE"])
def test_saved_and_loaded_it_scores_the_same_over_any_embedding(embedding: str, tmp_path) -> None:
    model = _fitted(embedding, epochs=2)
    scores = model._score_block(np.arange(4))
    assert scores.shape == (4, 5) and np.isfinite(scores).all()
    model.save(tmp_path / "run")
    loaded = kgplug.load(tmp_path / "run")
    assert isinstance(loaded, CFKG)
    np.testing.assert_array_equal(loaded._score_block(np.arange(4)), scores)


@pytest.mark.parametrize(
    ("embedding", "settings"),
    [
        ("TransE", {}),
        ("ComplEx", {}),
        ("ComplEx", {"training": "1-vs-all"}),
        ("ComplEx", {"training": "1-vs-all", "negative_sampling": "uniform"}),
        ("DistMult", {"training": "kvsall"}),
    ],
)
def test_a_loaded_model_has_the_settings_of_its_embedding(embedding: str, settings: dict, tmp_path: Path) -> None:
    given = {"embedding_dim": 8, "batch_size": 64, **settings}
    model = CFKG(embedding=embedding, embedding_settings=given, epochs=2).fit(*tiny(), progress=False)
    model.save(tmp_path / "run")
    loaded = kgplug.load(tmp_path / "run")
    assert isinstance(loaded, CFKG)
    assert loaded.embedding.config == model.embedding.config
    np.testing.assert_array_equal(loaded._score_block(np.arange(4)), model._score_block(np.arange(4)))


def test_negatives_are_typed_unless_another_training_is_set() -> None:
    assert CFKG(embedding="ComplEx").embedding.config.negative_sampling == "typed"
    config = CFKG(embedding="ComplEx", embedding_settings={"training": "1-vs-all"}).embedding.config
    assert (config.training, config.negative_sampling, config.reciprocal) == ("1-vs-all", "uniform", True)


def test_an_unknown_embedding_or_setting_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match='Unknown embedding model "TransQ"'):
        CFKG(embedding="TransQ")
    with pytest.raises(UsageError, match='Unknown setting of TransE "dims"'):
        CFKG(embedding_settings={"dims": 3})
    with pytest.raises(UsageError, match="epochs is a setting of CFKG itself"):
        CFKG(embedding_settings={"epochs": 3})


def test_without_a_validation_set_a_tenth_of_the_rows_finds_the_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kgplug.recommenders.models.cfkg.CHOOSING_FROM", 100)
    interactions, knowledge = directors_and_fans(fans=6)[:2]
    model = CFKG(embedding_settings={**QUICK, "batch_size": 64}, patience=2).fit(
        interactions, knowledge, progress=False
    )
    assert model.config.epochs == len(model.history["losses"]) < 100
    given = CFKG(embedding_settings=QUICK, epochs=3).fit(interactions, knowledge, progress=False)
    assert len(given.history["losses"]) == 3


@pytest.mark.parametrize("killed_in", ["the search for the number of epochs", "the training on all rows"])
def test_a_killed_training_continues_where_it_was(
    killed_in: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kgplug.recommenders.models.cfkg.CHOOSING_FROM", 100)
    interactions, knowledge = directors_and_fans(fans=6)[:2]
    settings: dict[str, Any] = {"embedding_settings": {**QUICK, "batch_size": 64}, "patience": 2}
    drawn, begun = TripleTask.batches, list[int]()

    def counted(self: TripleTask, epoch: int, rng: np.random.Generator) -> object:
        begun.append(epoch)
        if len(begun) == stop_at:
            raise KeyboardInterrupt
        return drawn(self, epoch, rng)

    monkeypatch.setattr(TripleTask, "batches", counted)
    monkeypatch.setenv("KGPLUG_CHECKPOINT_S", "0")
    stop_at = -1
    whole = CFKG(**settings).fit(interactions, knowledge, progress=False)
    needed = list(begun)
    second_half = needed.index(0, 1)
    begun.clear()
    stop_at = 3 if killed_in.startswith("the search") else second_half + 2
    with pytest.raises(KeyboardInterrupt):
        CFKG(**settings).fit(interactions, knowledge, checkpoint=tmp_path / "run.safetensors", progress=False)
    assert begun == needed[:stop_at]
    begun.pop()  # this epoch was not finished
    stop_at = -1
    again = CFKG(**settings).fit(interactions, knowledge, checkpoint=tmp_path / "run.safetensors", progress=False)
    assert begun == needed
    np.testing.assert_array_equal(again.item_vectors(), whole.item_vectors())


def test_after_a_loss_of_nan_the_history_is_that_of_the_weights_that_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = TripleTask.batches

    def broken(self: TripleTask, epoch: int, rng: np.random.Generator) -> object:
        if epoch == 3:
            with torch.no_grad():
                next(self.module.parameters()).fill_(float("nan"))
        return drawn(self, epoch, rng)

    monkeypatch.setattr(TripleTask, "batches", broken)
    model = CFKG(embedding_settings=QUICK, epochs=10)
    with pytest.raises(TrainingError, match="became nan in epoch 4"):
        model.fit(*tiny(), progress=False)
    assert len(model.history["losses"]) == 3 and np.isfinite(model.item_vectors()).all()
