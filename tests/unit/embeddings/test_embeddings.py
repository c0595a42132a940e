"""Embedding models: training, scores, vectors, neighbours."""

from __future__ import annotations

import random

import numpy as np
import pandas as pd
import pytest
import torch

from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.embeddings.catalogue import EMBEDDINGS
from kgplug.embeddings.config import EmbeddingConfig
from kgplug.embeddings.model import EmbeddingModel
from kgplug.embeddings.parts.all_entities import all_scores
from kgplug.embeddings.parts.negatives import other_entities
from kgplug.embeddings.validation import LabelledTriples
from kgplug.errors import DataError, TrainingError, UsageError
from kgplug.training.config import DataSize
from tests.unit.helpers.film_families import SMALL, families

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def knowledge() -> KnowledgeGraph:
    return families()


def vectors_of(knowledge: KnowledgeGraph, name: str = "TransE", **settings: object) -> np.ndarray:
    return EmbeddingModel(name, **{**SMALL, **settings}).fit(knowledge).entity_vectors()


@pytest.mark.parametrize("name", list(EMBEDDINGS))
def test_every_model_of_the_catalogue_trains_scores_and_exports(name: str, knowledge: KnowledgeGraph) -> None:
    model = EmbeddingModel(name, **{**SMALL, "epochs": 1}).fit(knowledge, valid=knowledge.triples[:5])
    vectors, scores = model.entity_vectors(), model.score_triples(knowledge.triples[:7])
    assert vectors.dtype == np.float32 and len(vectors) == knowledge.n_entities and np.isfinite(vectors).all()
    assert vectors.std(axis=0).max() > 0
    assert scores.shape == (7,) and scores.dtype == np.float32 and np.isfinite(scores).all()
    heads, relation, tails = knowledge.triples[:7, 0], int(knowledge.triples[0, 1]), range(3, 9)
    asked = [(head, relation, tail) for head in heads for tail in tails]
    found = model.score_tails(heads, relation, tails=slice(3, 9))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.ravel(), model.score_triples(np.array(asked)), atol=1e-4, rtol=1e-3)
    assert set(model.relation_vectors()) >= set(EMBEDDINGS[name].relation_parts)
    assert all(len(part) == knowledge.n_relations for part in model.relation_vectors().values())


def test_a_corrupted_end_is_never_the_true_entity() -> None:
    true = np.repeat(np.arange(4), 500)
    drawn = other_entities(true, negatives=3, n_entities=4, rng=np.random.default_rng(0))
    assert drawn.shape == (2000, 3) and not (drawn == true[:, None]).any()
    for entity in range(4):
        counts = np.bincount(drawn[true == entity].ravel(), minlength=4)
        assert counts[entity] == 0 and np.delete(counts, entity).min() > 400


def test_small_graphs_are_learnt_in_small_steps_unless_a_size_is_set(knowledge: KnowledgeGraph) -> None:
    assert EmbeddingModel("TransE", epochs=1).fit(knowledge).config.batch_size == 64  # 160 triples
    assert EmbeddingModel("TransE", epochs=1, batch_size=100).fit(knowledge).config.batch_size == 100
    assert EmbeddingConfig().suited(DataSize(n_triples=16_000)).batch_size == 1000
    assert EmbeddingConfig().suited(DataSize(n_triples=76_000)).batch_size == 4096


def test_another_loss_has_its_own_settings() -> None:
    assert EmbeddingModel("TransE").config.loss_settings == {"margin": 0.5}
    assert EmbeddingModel("TransE", loss="NSSA").config.loss_settings == {}


@pytest.mark.parametrize("loss", ["softplus", "mse", "pointwisehinge", "NSSA", "crossentropy"])
def test_a_translational_model_trains_with_losses_by_triple_and_by_pair(loss: str, knowledge: KnowledgeGraph) -> None:
    model = EmbeddingModel("TransE", **{**SMALL, "epochs": 2}, loss=loss).fit(knowledge, progress=False)
    assert np.isfinite(model.history["losses"]).all()


@pytest.mark.parametrize(
    ("triples", "labels", "found"),
    [
        ([[0, 0, 1], [0, 0, 2]], [True, True], r"labels must be bool \(2,\), .* 2 of them true"),
        ([[0, 0, 1], [0, 0, 2]], [1, 0], r"found int64 \(2,\)"),
        ([[0, 0, 1], [0, 0, 2]], [True, False, False], r"found bool \(3,\)"),
        ([[0, 0, 1], [0, 0, 999]], [True, False], r"triples must be integers \(n, 3\)"),
        ([[0, 0, 1], [0, -1, 1]], [True, False], r"triples must be integers \(n, 3\)"),
        ([[0, 0], [0, 1]], [True, False], r"found int64 \(2, 2\)"),
        ([[0.0, 0.0, 1.0], [0.0, 0.0, 2.0]], [True, False], r"found float64 \(2, 3\)"),
    ],
)
def test_labelled_triples_that_do_not_fit_are_refused(
    triples: list, labels: list, found: str, knowledge: KnowledgeGraph
) -> None:
    labelled = LabelledTriples(np.array(triples), np.array(labels))
    with pytest.raises(UsageError, match=found):
        EmbeddingModel("TransE", **SMALL).fit(knowledge, valid=labelled, progress=False)


@pytest.mark.parametrize("name", ["TransE", "TransH", "TransR", "RotatE", "DistMult"])
def test_entities_of_one_family_become_neighbours(name: str, knowledge: KnowledgeGraph) -> None:
    model = EmbeddingModel(name, embedding_dim=16, epochs=25, batch_size=32, learning_rate=0.03, device="cpu").fit(
        knowledge
    )
    films = np.flatnonzero([str(key).startswith("film") for key in knowledge.entity_keys])
    same = []
    for film in films:
        found = [e for e in model.nearest(film, 20)[0] if e in set(films)][:5]
        same += [(int(knowledge.entity_keys[e][4:]) - int(knowledge.entity_keys[film][4:])) % 2 == 0 for e in found]
    assert np.mean(same) > 0.9


def test_transe_scores_as_its_equation_says(knowledge: KnowledgeGraph) -> None:
    model = EmbeddingModel("TransE", **SMALL).fit(knowledge)
    e, r = model.entity_vectors().astype(float), model.relation_vectors()["translation"].astype(float)
    expected = [-np.sqrt(sum((e[h][i] + r[k][i] - e[t][i]) ** 2 for i in range(8))) for h, k, t in knowledge.triples]
    np.testing.assert_allclose(model.score_triples(knowledge.triples), expected, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(e, axis=1), 1, atol=1e-5)


def test_transh_scores_as_its_equation_says(knowledge: KnowledgeGraph) -> None:
    model = EmbeddingModel("TransH", **SMALL).fit(knowledge)
    e, parts = model.entity_vectors().astype(float), model.relation_vectors()
    expected = []
    for h, k, t in knowledge.triples:
        w, d = parts["normal"][k].astype(float), parts["translation"][k].astype(float)
        expected.append(-np.linalg.norm((e[h] - (w @ e[h]) * w) + d - (e[t] - (w @ e[t]) * w)))
    np.testing.assert_allclose(model.score_triples(knowledge.triples), expected, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(parts["normal"], axis=1), 1, atol=1e-5)
    assert not np.allclose(np.linalg.norm(parts["translation"], axis=1), 1, atol=1e-3)


def test_pykeens_transh_uses_the_unnormalised_vector_as_the_normal() -> None:
    from pykeen.models import TransH
    from pykeen.triples import KGInfo

    model = TransH(triples_factory=KGInfo(5, 2, create_inverse_triples=False), embedding_dim=4, random_seed=0)
    e, first, unit = (
        part().detach().numpy() for part in (*model.entity_representations, *model.relation_representations)
    )
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-5)

    def score(w: np.ndarray, d: np.ndarray) -> float:
        h, t = e[0], e[1]
        return -float(np.linalg.norm((h - (w @ h) * w) + d - (t - (w @ t) * w)))

    found = model.score_hrt(torch.tensor([[0, 0, 1]])).item()
    assert found == pytest.approx(score(w=first[0], d=unit[0]), abs=1e-5)
    assert found != pytest.approx(score(w=unit[0], d=first[0]), abs=1e-2)


def test_transr_scores_as_its_equation_says(knowledge: KnowledgeGraph) -> None:
    model = EmbeddingModel("TransR", **SMALL, model_settings={"relation_dim": 5}).fit(knowledge)
    e, parts = model.entity_vectors().astype(float), model.relation_vectors()
    assert parts["projection"].shape == (2, 8, 5)

    def seen(x: np.ndarray, k: int) -> np.ndarray:
        y = x @ parts["projection"][k].astype(float)
        return y / max(1.0, np.linalg.norm(y))

    expected = [
        -np.linalg.norm(seen(e[h], k) + parts["translation"][k].astype(float) - seen(e[t], k))
        for h, k, t in knowledge.triples
    ]
    np.testing.assert_allclose(model.score_triples(knowledge.triples), expected, atol=1e-5)
    assert (np.linalg.norm(e, axis=1) <= 1 + 1e-5).all()


@pytest.mark.parametrize("name", ["TransE", "TransH", "TransR", "RotatE", "DistMult", "ComplEx", "MuRE"])
def test_ranking_all_entities_uses_the_scores_of_single_triples(name: str, knowledge: KnowledgeGraph) -> None:
    model = EmbeddingModel(name, **SMALL).fit(knowledge)
    (head, relation, tail), n = knowledge.triples[0], knowledge.n_entities
    every = np.arange(n)
    scores = all_scores(model.module)
    tails = scores.tails(torch.tensor([head]), torch.tensor([relation])).detach().numpy()[0]
    heads = scores.heads(torch.tensor([tail]), torch.tensor([relation])).detach().numpy()[0]
    as_tail = np.stack([np.full(n, head), np.full(n, relation), every], axis=1)
    as_head = np.stack([every, np.full(n, relation), np.full(n, tail)], axis=1)
    np.testing.assert_allclose(tails, model.score_triples(as_tail), atol=1e-3)
    np.testing.assert_allclose(heads, model.score_triples(as_head), atol=1e-3)


def test_complex_vectors_are_returned_as_real_parts_then_imaginary_parts(knowledge: KnowledgeGraph) -> None:
    model = EmbeddingModel("RotatE", **SMALL).fit(knowledge)
    e = model.entity_vectors()[:, :8] + 1j * model.entity_vectors()[:, 8:]
    rotation = model.relation_vectors()["rotation"]
    r = rotation[:, :8] + 1j * rotation[:, 8:]
    np.testing.assert_allclose(np.abs(r), 1, atol=1e-5)
    h, k, t = knowledge.triples.T
    expected = -np.linalg.norm(e[h] * r[k] - e[t], axis=1)
    np.testing.assert_allclose(model.score_triples(knowledge.triples), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["TransE", "RotatE", "ConvE", "NodePiece"])
def test_the_same_seed_gives_the_same_model_and_another_seed_another(name: str, knowledge: KnowledgeGraph) -> None:
    def train(seed: int) -> np.ndarray:
        return EmbeddingModel(name, **SMALL).fit(knowledge, seed=seed).entity_vectors()

    assert np.array_equal(train(1), train(1))
    assert not np.array_equal(train(1), train(2))


def test_training_leaves_the_global_generators_as_they_were(knowledge: KnowledgeGraph) -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    vectors_of(knowledge)
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002
    assert before[2] == random.getstate()


def test_training_by_rows_keeps_the_constraint() -> None:
    wide = families(130)
    settings = {**SMALL, "batch_size": 4, "negatives": 1, "epochs": 2}
    model = EmbeddingModel("TransE", **settings).fit(wide)
    np.testing.assert_allclose(np.linalg.norm(model.entity_vectors(), axis=1), 1, atol=1e-5)
    assert model.history["losses"][1] < model.history["losses"][0]
    assert np.array_equal(model.entity_vectors(), EmbeddingModel("TransE", **settings).fit(wide).entity_vectors())


def test_the_best_weights_are_kept_not_the_last(knowledge: KnowledgeGraph) -> None:
    settings = {**SMALL, "epochs": 40, "patience": 3, "learning_rate": 0.5}
    model = EmbeddingModel("TransE", **settings).fit(knowledge, valid=knowledge.triples[::3])
    validation = model.history["validation"]
    assert len(validation) == min(40, model.history["best_epoch"] + 4)
    figure = (1 / model.ranks(knowledge.triples[::3], knowledge.triples)).mean()
    assert figure == pytest.approx(max(validation))
    assert validation[-1] < max(validation)


def test_a_validation_graph_with_other_indices_is_matched_by_key(knowledge: KnowledgeGraph) -> None:
    part = KnowledgeGraph.from_dataframe(
        pd.DataFrame(
            [("film1", "genre", "genre1"), ("film3", "actor", "actor11"), ("film1", "genre", "unheard of")],
            columns=["head", "relation", "tail"],
        )
    )
    numbers = [
        knowledge.entities_of(np.array([key], dtype=object))[0] for key in ("film1", "genre1", "film3", "actor11")
    ]
    same = np.array([[numbers[0], 1, numbers[1]], [numbers[2], 0, numbers[3]]])
    by_key = EmbeddingModel("TransE", **SMALL).fit(knowledge, valid=part).history["validation"]
    assert by_key == EmbeddingModel("TransE", **SMALL).fit(knowledge, valid=same).history["validation"]


def test_validation_triples_with_unknown_entities_only_are_refused(knowledge: KnowledgeGraph) -> None:
    other = KnowledgeGraph.from_dataframe(pd.DataFrame({"head": ["x"], "relation": ["r"], "tail": ["y"]}))
    with pytest.raises(DataError, match="Every validation triple contains an entity or relation"):
        EmbeddingModel("TransE", **SMALL).fit(knowledge, valid=other)


def test_relations_that_end_in_inverse_and_single_triples_are_kept() -> None:
    rows = [("a", "likes", "b"), ("b", "likes_inverse", "a"), ("a", "once", "c"), ("c", "likes", "b")]
    graph = KnowledgeGraph.from_dataframe(pd.DataFrame(rows, columns=["head", "relation", "tail"]))
    for name in ("TransE", "TransH", "TransR", "CompGCN"):
        model = EmbeddingModel(name, **SMALL).fit(graph)
        assert list(model.relations) == ["likes", "likes_inverse", "once"]
        assert all(len(part) == 3 for part in model.relation_vectors().values())


def test_nearest_is_exact_and_leaves_out_the_entity_itself(knowledge: KnowledgeGraph) -> None:
    model = EmbeddingModel("TransE", **SMALL).fit(knowledge)
    vectors = model.entity_vectors().astype(float)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = vectors @ vectors[3]
    cosines[3] = -np.inf
    entities, found = model.nearest(3, 6)
    assert list(entities) == list(np.argsort(-cosines)[:6])
    np.testing.assert_allclose(found, np.sort(cosines)[::-1][:6], atol=1e-5)
    assert len(model.nearest(3, 10_000)[0]) == knowledge.n_entities - 1


def test_an_infinite_loss_is_reported_with_the_learning_rate(knowledge: KnowledgeGraph) -> None:
    with pytest.raises(TrainingError, match="learning rate 1e\\+38"):
        vectors_of(knowledge, learning_rate=1e38)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("TransE", {"embedding_dim": 0}, "embedding_dim=0"),
        ("TransE", {"negatives": 0}, "negatives=0"),
        ("TransE", {"embeding_dim": 8}, 'Did you mean "embedding_dim"'),
        ("TransE", {"model_settings": {"scoring_norm": 1}}, 'Did you mean "scoring_fct_norm"'),
        ("UM", {"model_settings": {"relation_dim": 1}}, 'Unknown model setting of UM "relation_dim"'),
        ("TransE", {"loss": "NSA"}, 'Did you mean "NSSA"'),
        ("TransE", {"loss_settings": {"margins": 1}}, "margins"),
        ("InductiveNodePiece", {}, "does not fit here: it is for graphs whose entities change"),
    ],
)
def test_a_wrong_setting_is_refused_before_training(name: str, settings: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        EmbeddingModel(name, **settings)


def test_settings_that_pykeen_cannot_build_are_reported(knowledge: KnowledgeGraph) -> None:
    with pytest.raises(UsageError, match="PyKEEN cannot build ConvE"):
        vectors_of(knowledge, "ConvE", model_settings={"embedding_height": 3, "embedding_width": 7})


def test_a_graph_without_triples_and_an_untrained_model_are_refused(knowledge: KnowledgeGraph) -> None:
    none = KnowledgeGraph(
        knowledge.entity_keys, knowledge.entity_labels, knowledge.relations, np.empty((0, 3), np.int64)
    )
    with pytest.raises(DataError, match="at least one triple"):
        EmbeddingModel("TransE", **SMALL).fit(none)
    with pytest.raises(UsageError, match="not trained yet"):
        EmbeddingModel("TransE").entity_vectors()
    model = EmbeddingModel("TransE", **SMALL).fit(knowledge)
    with pytest.raises(UsageError, match="found an index out of range"):
        model.score_triples(np.array([[0, 0, knowledge.n_entities]]))
    with pytest.raises(UsageError, match="found -1"):
        model.nearest(-1)


def test_the_initial_weights_of_ntn_do_not_saturate_its_activation() -> None:
    model = EmbeddingModel("NTN", embedding_dim=48, epochs=1, learning_rate=1e-9, device="cpu").fit(families())
    h = model.module.entity_representations[0]().detach()  # (n, d)
    w = model.module.relation_representations[0]().detach()  # (r, k, d, d)
    inputs = torch.einsum("nd,rkde,me->rknm", h, w, h)
    assert 0.2 < inputs.std() < 3  # PyKEEN's is 48, where tanh is flat


@pytest.mark.parametrize("name", ["NodePiece", "RGCN", "CompGCN"])
def test_a_training_without_progress_hides_pykeens_output(
    name: str, knowledge: KnowledgeGraph, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    EmbeddingModel(name, embedding_dim=8, epochs=1).fit(knowledge, progress=False)
    assert capfd.readouterr() == ("", "")
    assert [str(warning.message) for warning in recwarn] == []
