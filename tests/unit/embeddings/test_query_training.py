"""Training on queries: losses, penalties and gradients against literal code, and models that learn by it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import kgplug
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.embeddings.config import EmbeddingConfig, embedding_config
from kgplug.embeddings.model import EmbeddingModel
from kgplug.embeddings.parts.all_entities import ranks_of
from kgplug.embeddings.parts.build import build_module
from kgplug.embeddings.parts.queries import query_form, real_vectors
from kgplug.embeddings.parts.softmax_loss import Targets, softmax_loss
from kgplug.embeddings.query_training import MOST_ANSWERS, Queries, QueryTask, _dropped
from kgplug.embeddings.training import TripleTask
from kgplug.errors import UsageError
from kgplug.evaluation.link_prediction import evaluate_link_prediction
from kgplug.training.config import DataSize

pytestmark = pytest.mark.training

N_ENTITIES, N_RELATIONS = 13, 2
TRIPLES = np.array([[0, 0, 5], [0, 0, 6], [0, 0, 7], [1, 0, 5], [2, 1, 0], [3, 1, 0], [4, 1, 12], [0, 1, 5]])
MODELS = ["TransE", "RotatE", "DistMult", "ComplEx"]
FEW = {"embedding_dim": 6, "epochs": 3, "batch_size": 4, "device": "cpu", "training": "1-vs-all"}


def task_of(name: str, **settings: object) -> QueryTask:
    config = embedding_config(name, {**FEW, "batch_size": 100, **settings})
    module = build_module(name, config, n_entities=N_ENTITIES, n_relations=N_RELATIONS, triples=TRIPLES, seed=3)
    form = query_form(module)
    assert form is not None
    return QueryTask(module.double().train(), form, config, TRIPLES, validation=None)


def only_batch(task: QueryTask) -> object:
    (batch,) = task.batches(0, np.random.default_rng(0))
    weights = {name: getattr(batch.targets, name).double() for name in ("weights", "totals")}
    return batch._replace(targets=batch.targets._replace(**weights))


def literal_loss(task: QueryTask) -> torch.Tensor:
    """Return the loss of all triples in both directions, one by one, from PyKEEN's score functions."""
    model, config = task.model, task.config
    losses, penalties, weights = [], [], []
    for h, r, t in TRIPLES.tolist():
        for side, known, answer in ((0, h, t), (1, t, h)):
            relation = 2 * r + side if config.reciprocal else r
            as_tail = side == 0 or config.reciprocal
            asked = [(known, relation, e) if as_tail else (e, relation, known) for e in range(N_ENTITIES)]
            scores = model.score_hrt(torch.tensor(asked))[:, 0]
            logs = (scores / config.temperature).log_softmax(dim=0)
            target = torch.full((N_ENTITIES,), config.label_smoothing / N_ENTITIES, dtype=torch.float64)
            target[answer] += 1 - config.label_smoothing
            losses.append(-(target * logs).sum())
            entity, row = model.entity_representations[0](), model.relation_representations[0]()[relation]
            lengths = [vector.abs() for vector in (entity[known], row, entity[answer])]
            penalties.append(sum(config.l2 * (x**2).sum() + config.n3 * (x**3).sum() for x in lengths))
            same = [(h2, t2) for h2, r2, t2 in TRIPLES.tolist() if r2 == r and (h2, t2)[side] == known]
            weights.append(1.0 if config.training == "1-vs-all" else 1 / len(same))
    return sum(w * (one + two) for w, one, two in zip(weights, losses, penalties, strict=True)) / sum(weights)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("training", ["1-vs-all", "kvsall"])
@pytest.mark.parametrize("reciprocal", [True, False])
def test_the_loss_and_its_gradients_are_those_of_single_triples(name: str, training: str, reciprocal: bool) -> None:
    task = task_of(
        name, training=training, reciprocal=reciprocal, n3=0.3, l2=0.2, label_smoothing=0.1, temperature=0.7,
        model_settings={"regularizer": None} if name in ("DistMult", "ComplEx") else {},
    )  # fmt: skip
    parameters = list(task.model.parameters())
    expected = literal_loss(task)
    wanted = torch.autograd.grad(expected, parameters)
    found = task.loss(only_batch(task))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)
    for parameter, ours, theirs in zip(parameters, torch.autograd.grad(found, parameters), wanted, strict=True):
        if name == "RotatE" and parameter is parameters[-1]:  # h∘r and t∘r̄ differ unless |r| = 1, which is kept anyway
            ours, theirs = (along_the_circle(gradient, parameter.detach()) for gradient in (ours, theirs))
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)


def along_the_circle(gradient: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Return the part of a gradient that turns points on the unit circle, (n, 2d) as pairs of real numbers."""
    gradient, points = (tensor.view(len(tensor), -1, 2) for tensor in (gradient, points))
    return gradient - (gradient * points).sum(dim=-1, keepdim=True) * points


def targets_of(answers: list[list[int]], weights: list[float]) -> Targets:
    counts = [len(some) for some in answers]
    each = np.repeat(weights, counts)
    rows = np.repeat(np.arange(len(answers)), counts)
    totals = np.multiply(weights, counts)
    parts = (rows, np.concatenate(answers), each.astype(np.float32), totals.astype(np.float32))
    return Targets([0, *np.cumsum(counts).tolist()], *map(torch.from_numpy, parts))


@pytest.mark.parametrize("by_distance", [True, False])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_blocks_of_queries_give_the_whole(by_distance: bool, smoothing: float) -> None:
    generator = torch.Generator().manual_seed(0)
    queries, table = (torch.randn(n, 5, generator=generator, requires_grad=True) for n in (7, 11))
    targets = targets_of([[1], [0, 3], [4], [2, 9, 10], [5], [6], [7]], [1.0, 0.5, 1.0, 2.0, 1.0, 1.0, 1.0])
    found = []
    for block_floats in (1, 11 * 3, 11 * 100):
        loss = softmax_loss(
            queries, table, targets, by_distance=by_distance, smoothing=smoothing, block_floats=block_floats
        )
        found.append([loss, *torch.autograd.grad(loss, [queries, table])])
    for part in found[1:]:
        for one, other in zip(part, found[0], strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_an_entity_at_the_querys_own_position_has_no_gradient_by_distance() -> None:
    queries, table = torch.zeros(1, 3, requires_grad=True), torch.zeros(2, 3, requires_grad=True)
    loss = softmax_loss(queries, table, targets_of([[0]], [1.0]), by_distance=True)
    assert not any(gradient.any() for gradient in torch.autograd.grad(loss, [queries, table]))


@pytest.mark.parametrize("name", MODELS)
def test_kvsall_is_1_vs_all_if_each_query_has_one_answer(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.TRIPLES", np.array([[0, 0, 1], [1, 0, 2], [3, 1, 4]]))
    one, other = (task_of(name, training=training) for training in ("1-vs-all", "kvsall"))
    assert task_of(name).queries.starts.tolist() == list(range(7))
    torch.testing.assert_close(one.loss(only_batch(one)), other.loss(only_batch(other)), atol=0, rtol=0)


def test_queries_are_distinct_and_keep_every_answer() -> None:
    queries = Queries(TRIPLES, n_entities=N_ENTITIES, most_answers=None)
    wanted: dict[tuple[int, int], set[int]] = {}
    for h, r, t in TRIPLES.tolist():
        wanted.setdefault((h, 2 * r), set()).add(t)
        wanted.setdefault((t, 2 * r + 1), set()).add(h)
    counts, answers = queries.answers_of(np.arange(len(queries)))
    parts = np.split(answers, np.cumsum(counts)[:-1])
    found = zip(queries.entities.tolist(), queries.codes.tolist(), parts, strict=True)
    assert {(entity, code): set(part.tolist()) for entity, code, part in found} == wanted
    assert len(queries) == len(wanted) and counts.sum() == 2 * len(TRIPLES)
    backwards, some = queries.answers_of(np.array([4, 1])), [queries.answers_of(np.array([i])) for i in (4, 1)]
    assert np.array_equal(backwards[1], np.concatenate([part for _, part in some]))


def test_a_query_with_many_answers_is_split_only_for_1_vs_all() -> None:
    n = 2 * MOST_ANSWERS + 5
    triples = np.stack([np.zeros(n, int), np.zeros(n, int), np.arange(1, n + 1)], axis=1)
    split = Queries(triples, n_entities=n + 1, most_answers=MOST_ANSWERS)
    counts, answers = split.answers_of(np.flatnonzero(split.codes == 0))
    assert counts.tolist() == [MOST_ANSWERS, MOST_ANSWERS, 5] and sorted(answers) == list(range(1, n + 1))
    assert (split.codes == 1).sum() == n
    graph = KnowledgeGraph(*named(n + 1, 1), triples)
    for training, expected in (("1-vs-all", n + 3), ("kvsall", n + 1)):
        model = EmbeddingModel("DistMult", **{**FEW, "epochs": 1, "training": training}).fit(graph)
        assert len(model._task(graph, None, None, False).queries) == expected


def named(n_entities: int, n_relations: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    keys = np.array([f"e{i:03d}" for i in range(n_entities)], dtype=object)
    return keys, np.full(n_entities, "", dtype=object), np.array([f"r{i}" for i in range(n_relations)], dtype=object)


def ring(n: int = 40) -> tuple[KnowledgeGraph, np.ndarray]:
    """Entities on a ring with the relations +1 and +3, and held-out triples: (graph, int64 (m, 3))."""
    start = np.arange(n)
    parts = [np.stack([start, np.full(n, r), (start + step) % n], axis=1) for r, step in enumerate((1, 3))]
    triples = np.concatenate(parts)
    test = np.arange(len(triples)) % 8 == 3
    return KnowledgeGraph(*named(n, 2), triples[~test]), triples[test]


@pytest.mark.parametrize("training", ["1-vs-all", "kvsall"])
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("ComplEx", {"n3": 0.01}),
        ("RotatE", {"reciprocal": False, "optimizer": "adam", "learning_rate": 0.05, "label_smoothing": 0.05}),
    ],
)
def test_a_ring_is_learnt(name: str, settings: dict, training: str) -> None:
    graph, test = ring()
    settings = {"embedding_dim": 16, "epochs": 60, "batch_size": 16, "device": "cpu", **settings}
    model = EmbeddingModel(name, training=training, **settings).fit(graph, progress=False)
    assert (1 / model.ranks(test, graph.triples)).mean() > 0.6  # by chance: about .1


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("reciprocal", [True, False])
def test_a_saved_run_ranks_and_scores_as_before(name: str, reciprocal: bool, tmp_path: Path) -> None:
    graph, test = ring()
    model = EmbeddingModel(name, **FEW, reciprocal=reciprocal).fit(graph)
    model.save(tmp_path / "run")
    loaded = kgplug.load(tmp_path / "run")
    assert loaded.config == model.config
    assert np.array_equal(loaded.ranks(test, graph.triples), model.ranks(test, graph.triples))
    assert np.array_equal(loaded.score_triples(test), model.score_triples(test))
    found = model.score_tails(test[:, 0], 0)
    asked = np.stack([test[:, 0], np.zeros(len(test), int), test[:, 2]], axis=1)
    np.testing.assert_allclose(found[np.arange(len(test)), test[:, 2]], model.score_triples(asked), atol=1e-4)
    parts = model.relation_vectors()
    assert any(part.startswith("inverse_") for part in parts) == reciprocal
    assert all(len(part) == graph.n_relations for part in parts.values())


@pytest.mark.parametrize("optimizer", ["adam", "adagrad"])
@pytest.mark.parametrize("training", ["1-vs-all", "kvsall", "negatives"])
def test_an_interrupted_training_resumes_bit_by_bit(
    optimizer: str, training: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, test = ring()
    dropout = {} if training == "negatives" else {"entity_dropout": 0.2, "relation_dropout": 0.3}
    settings = {**FEW, "training": training, "optimizer": optimizer, "epochs": 5, **dropout}
    task = TripleTask if training == "negatives" else QueryTask
    whole, drawn = EmbeddingModel("ComplEx", **settings).fit(graph, valid=test), task.batches

    def killed(self: object, epoch: int, rng: np.random.Generator) -> object:
        if epoch == 3:
            raise KeyboardInterrupt
        return drawn(self, epoch, rng)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(task, "batches", killed)
        EmbeddingModel("ComplEx", **settings).fit(graph, valid=test, checkpoint=tmp_path / "checkpoint")
    resumed = EmbeddingModel("ComplEx", **settings).fit(graph, valid=test, checkpoint=tmp_path / "checkpoint")
    assert np.array_equal(resumed.entity_vectors(), whole.entity_vectors())
    assert resumed.history["losses"] == whole.history["losses"]


def test_dropout_sets_its_share_to_zero_and_only_in_training() -> None:
    for vectors in (torch.ones(50, 40), torch.full((50, 20), 1 + 1j)):
        numbers = real_vectors(_dropped(vectors, 0.25))
        kept = numbers[numbers != 0]
        assert 1400 < len(kept) < 1600
        torch.testing.assert_close(kept, torch.full_like(kept, 1 / 0.75))
    for setting in ("entity_dropout", "relation_dropout"):
        task = task_of("ComplEx", **{setting: 0.5})
        assert len({float(task.loss(only_batch(task)).detach()) for _ in range(3)}) == 3
        assert np.array_equal(*(ranks_of(task.model, TRIPLES, TRIPLES) for _ in range(2)))


def test_new_entities_continue_an_earlier_run_with_inverse_relations() -> None:
    graph, _ = ring()
    earlier = EmbeddingModel("ComplEx", **FEW).fit(graph)
    frame = graph.to_dataframe()[["head", "relation", "tail"]]
    grown = KnowledgeGraph.from_dataframe(
        pd.concat([pd.DataFrame([("a new one", "r0", "e001")], columns=frame.columns), frame])
    )
    later = EmbeddingModel("ComplEx", **{**FEW, "epochs": 1, "learning_rate": 1e-9}).fit(grown, start=earlier)
    kept = grown.entities_of(graph.entity_keys)
    np.testing.assert_allclose(later.entity_vectors()[kept], earlier.entity_vectors(), atol=1e-6)
    for part, values in earlier.relation_vectors().items():
        np.testing.assert_allclose(later.relation_vectors()[part], values, atol=1e-6)
    for name, optimizer in (("ComplEx", "adagrad"), ("TransE", "adam")):
        settings = {**FEW, "optimizer": optimizer, "learning_rate": 0.02, "epochs": 10}
        earlier = EmbeddingModel(name, **settings).fit(graph)
        frozen = EmbeddingModel(name, **settings).fit(grown, start=earlier, freeze=True)
        assert np.array_equal(frozen.entity_vectors()[kept], earlier.entity_vectors())
        assert all(np.array_equal(frozen.relation_vectors()[p], v) for p, v in earlier.relation_vectors().items())
        if name == "ComplEx":  # TransE's closed form is close to the best already
            assert frozen.history["losses"][-1] < frozen.history["losses"][0]


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("TransE", {"training": "1-vs-all", "negatives": 8}, 'negatives=8 has no effect with training="1-vs-all"'),
        ("TransE", {"training": "kvsall", "loss": "NSSA"}, "loss='NSSA' has no effect"),
        ("TransE", {"n3": 0.1}, 'n3=0.1 has no effect with training="negatives". Omit it, or set training to'),
        ("TransE", {"training": "kvsal"}, "training='kvsal'"),
        ("TransE", {"training": "kvsall", "label_smoothing": 1.0}, "label_smoothing=1.0"),
        ("TransE", {"training": "kvsall", "temperature": 0}, "temperature=0"),
        ("TransH", {"training": "kvsall"}, "TransH cannot score all entities by one matrix product"),
        ("RGCN", {"reciprocal": True}, "both directions already. Omit reciprocal"),
    ],
)
def test_settings_that_do_not_fit_are_refused(name: str, settings: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("(", r"\(")):
        EmbeddingModel(name, **settings)


def test_another_norm_cannot_be_trained_on_queries() -> None:
    graph, _ = ring()
    settings = {"training": "1-vs-all", "model_settings": {"scoring_fct_norm": 1}}
    with pytest.raises(UsageError, match=r"TransE with model_settings=.*'scoring_fct_norm': 1.* cannot score all"):
        EmbeddingModel("TransE", **settings).fit(graph)


def test_settings_of_negatives_choose_that_training() -> None:
    assert EmbeddingModel("ComplEx").config.training == "1-vs-all"
    by_negatives = EmbeddingModel("ComplEx", negatives=8).config
    assert (by_negatives.training, by_negatives.optimizer, by_negatives.n3) == ("negatives", "adam", 0)
    assert EmbeddingModel("ComplEx", training="kvsall").config.reciprocal


def test_settings_that_an_old_run_lacks_are_those_of_its_time() -> None:
    old = {"embedding_dim": 8, "loss": "InfoNCE", "negatives": 4}
    config = embedding_config("ComplEx", EmbeddingConfig.of_saved(old))
    assert (config.training, config.reciprocal, config.optimizer) == ("negatives", False, "adam")
    config = embedding_config("DistMult", EmbeddingConfig.of_saved({"embedding_dim": 8}))
    assert config.model_settings == {} and config.training == "negatives"


def test_steps_have_few_queries_unless_a_size_is_set() -> None:
    config = embedding_config("ComplEx", {})
    assert config.suited(DataSize(n_triples=1_000_000)).batch_size == 512
    assert config.suited(DataSize(n_triples=1_600)).batch_size == 100
    assert embedding_config("ComplEx", {"batch_size": 2000}).suited(DataSize(n_triples=1600)).batch_size == 2000


@pytest.mark.parametrize("name", MODELS)
def test_metrics_are_those_of_pykeens_evaluator(name: str) -> None:
    from pykeen.evaluation import RankBasedEvaluator

    graph, test = ring()
    model = EmbeddingModel(name, **{**FEW, "epochs": 6}, reciprocal=True).fit(graph)
    found = evaluate_link_prediction(model, test, graph.triples)
    oracle = RankBasedEvaluator(filtered=True).evaluate(
        model.module, torch.from_numpy(test), additional_filter_triples=[torch.from_numpy(graph.triples)],
        batch_size=64, use_tqdm=False,
    )  # fmt: skip
    for side, metric in (("both", "MRR"), ("head", "MRR heads"), ("tail", "MRR tails")):
        expected = oracle.get_metric(f"{side}.realistic.inverse_harmonic_mean_rank")
        assert found[metric] == pytest.approx(expected, abs=1e-6)
