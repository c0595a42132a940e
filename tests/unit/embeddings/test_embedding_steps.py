"""One training step: what it draws, what it scores, and which rows it changes."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from kgplug.embeddings.catalogue import EMBEDDINGS
from kgplug.embeddings.config import embedding_config
from kgplug.embeddings.parts.build import build_module
from kgplug.embeddings.parts.kernels import translation_gradients, translation_scores
from kgplug.embeddings.parts.negatives import TypedCorrupter
from kgplug.embeddings.training import TripleTask

pytestmark = pytest.mark.training

N_ENTITIES, N_RELATIONS = 60, 3
TRIPLES = np.stack([*np.random.default_rng(5).integers(0, [[20], [N_RELATIONS]], (2, 40)), np.arange(40) % 25], axis=1)
BY_ROWS = ["TransE", "TransR", "TransD", "RotatE", "ComplEx", "DistMult", "PairRE", "KG2E", "SimplE", "MuRE"]


def task_of(name: str, **settings: object) -> TripleTask:
    config = embedding_config(name, {"embedding_dim": 12, "batch_size": 12, "negatives": 2, **settings})
    module = build_module(name, config, n_entities=N_ENTITIES, n_relations=N_RELATIONS, triples=TRIPLES, seed=3)
    return TripleTask(module.train(), config, TRIPLES, validation=None)


def tables_of(task: TripleTask) -> list[np.ndarray]:
    return [table._embeddings.weight.detach().numpy().copy() for table in task.tables]


@pytest.mark.parametrize("name", BY_ROWS)
def test_a_step_changes_only_the_rows_of_its_batch(name: str) -> None:
    task = task_of(name)
    batch, before = next(iter(task.batches(0, np.random.default_rng(1)))), tables_of(task)
    task.step(batch)
    for old, new in zip(before, tables_of(task), strict=True):
        changed = np.flatnonzero((old != new).any(axis=1))
        assert set(changed) <= set(batch.rows.tolist())
        assert len(changed) > len(batch.rows) // 2


@pytest.mark.parametrize("name", BY_ROWS)
def test_a_step_by_rows_has_the_gradients_of_whole_tables(name: str) -> None:
    task = task_of(name)
    whole = copy.deepcopy(task.model)
    batch = next(iter(task.batches(0, np.random.default_rng(1))))
    task.step(batch)
    rows = batch.rows
    triples = torch.stack([rows[batch.triples[:, 0]], batch.triples[:, 1], rows[batch.triples[:, 2]]], dim=1)
    corrupted = triples[:, None].repeat(1, 2, 1)
    corrupted[: batch.n_tails, :, 2] = rows[batch.others[: batch.n_tails]]
    corrupted[batch.n_tails :, :, 0] = rows[batch.others[batch.n_tails :]]
    loss = whole.loss.process_slcwa_scores(
        positive_scores=whole.score_hrt(triples), negative_scores=whole.score_hrt(corrupted.view(-1, 3)).view(-1, 2),
        num_entities=N_ENTITIES,
    )  # fmt: skip
    (loss + whole.collect_regularization_term()).backward()
    for parameter, other in zip(task.model.parameters(), whole.parameters(), strict=True):
        moments = task.by_row.state.get(parameter, {}).get("moments")
        found = parameter.grad if moments is None else moments[:, : parameter.shape[1]] / (1 - 0.9)
        torch.testing.assert_close(found, other.grad, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(("k", "n_tails"), [(1, 0), (1, 7), (3, 4), (2, 3), (0, 7)])
def test_compiled_translations_equal_the_equation_and_its_gradient(k: int, n_tails: int) -> None:
    rng = np.random.default_rng(k)
    entities, relations = (torch.from_numpy(rng.normal(size=(n, 5)).astype(np.float32)) for n in (9, 3))
    triples, others = rng.integers(0, [9, 3, 9], (7, 3)), rng.integers(0, 9, (7, k))
    triples[6], grad = [2, 1, 2], rng.normal(size=(7, 1 + k)).astype(np.float32)
    grad[3] = 0  # a satisfied margin
    entities.requires_grad_(), relations.requires_grad_()
    expected = torch.empty(7, 1 + k)
    for i, (h, r, t) in enumerate(triples):
        for c in range(1 + k):
            head = others[i, c - 1] if c and i >= n_tails else h
            tail = others[i, c - 1] if c and i < n_tails else t
            expected[i, c] = -(entities[head] + relations[r] - entities[tail]).norm()
    expected.backward(torch.from_numpy(grad))
    tables = [table.detach().numpy() for table in (entities, relations)]
    scores = translation_scores(*tables, triples, others, n_tails)
    np.testing.assert_allclose(scores, expected.detach().numpy(), rtol=1e-5)
    found = translation_gradients(*tables, triples, others, n_tails, scores, grad)
    for gradient, table in zip(found, (entities, relations), strict=True):
        np.testing.assert_allclose(gradient, table.grad.numpy(), atol=1e-5)


def test_the_gradient_is_zero_if_head_plus_relation_equals_tail() -> None:
    entities, relations = np.zeros((2, 4), np.float32), np.zeros((1, 4), np.float32)
    triples, others = np.array([[0, 0, 1]]), np.array([[0]])
    scores = translation_scores(entities, relations, triples, others, 1)
    found = translation_gradients(entities, relations, triples, others, 1, scores, np.ones((1, 2), np.float32))
    assert not any(gradient.any() for gradient in found)


def test_other_norms_are_scored_by_pykeen() -> None:
    for settings in ({"scoring_fct_norm": 1}, {"power_norm": True}):
        task = task_of("TransE", model_settings=settings)
        triples, others = torch.from_numpy(TRIPLES[:5]), torch.from_numpy(TRIPLES[5:10, :1])
        scores = task.model.score_batch(triples, others, 2)
        torch.testing.assert_close(scores[:, :1], task.model.score_hrt(triples))


def test_typed_corruptions_come_from_the_relations_own_domain_and_range() -> None:
    triples = np.array([[0, 0, 5], [1, 0, 6], [2, 0, 7], [3, 1, 8], [4, 1, 9], [0, 2, 5]])
    draw = TypedCorrupter(triples, negatives=50, n_entities=10)
    rows, rng = np.array([0, 1, 3, 2, 4, 5]), np.random.default_rng(0)
    others = draw(rows, 3, rng)  # tails of rows 0, 1, 3; heads of rows 2, 4, 5
    assert [set(found.tolist()) for found in others[:5]] == [{6, 7}, {5, 7}, {9}, {0, 1}, {3}]
    assert set(others[5].tolist()) == set(range(1, 10)), "the only head of its relation: anyone else may stand there"


def test_typed_sampling_is_chosen_by_a_setting() -> None:
    task = task_of("TransE", negative_sampling="typed")
    for batch in task.batches(0, np.random.default_rng(0)):
        tails = batch.rows[batch.others[: batch.n_tails]]
        assert (tails < 25).all() and torch.isfinite(task.step(batch))


def test_models_train_by_rows_except_graph_networks_and_whole_table_penalties() -> None:
    whole = {"CompGCN", "NodePiece", "RGCN", "ConvKB", "TransH"}
    assert {name for name in EMBEDDINGS if not task_of(name).tables} == whole
