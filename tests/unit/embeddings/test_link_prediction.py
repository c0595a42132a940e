"""Filtered ranks against PyKEEN's evaluator and a literal loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.embeddings.model import EmbeddingModel
from kgplug.embeddings.parts.ranking import filtered_ranks
from kgplug.errors import DataError
from kgplug.evaluation.link_prediction import evaluate_link_prediction

pytestmark = pytest.mark.training


def pykeen_graph(dataset: object) -> tuple[KnowledgeGraph, np.ndarray, np.ndarray]:
    """Return training graph, test triples and all triples of a data set that PyKEEN ships, in its own numbers."""
    training = dataset.training  # type: ignore[attr-defined]
    names = [
        np.array(
            [f"{number:04d} {key}" for key, number in sorted(mapping.items(), key=lambda pair: pair[1])], dtype=object
        )
        for mapping in (training.entity_to_id, training.relation_to_id)
    ]
    parts = [part.mapped_triples.numpy() for part in (training, dataset.validation, dataset.testing)]  # type: ignore[attr-defined]
    labels = np.full(len(names[0]), "", dtype=object)
    return KnowledgeGraph.from_arrays(names[0], labels, names[1], parts[0]), parts[2], np.concatenate(parts)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("DistMult", {}),
        ("DistMult", {"training": "negatives"}),
        ("TransE", {}),
        ("TransE", {"reciprocal": True}),
        ("TransH", {}),
        ("TransH", {"reciprocal": True}),
        ("TransR", {}),
        ("CompGCN", {}),
        ("ComplEx", {}),
        ("RotatE", {"training": "kvsall", "reciprocal": True}),
    ],
)
def test_figures_are_those_of_pykeens_evaluator(name: str, settings: dict) -> None:
    from pykeen.datasets import UMLS
    from pykeen.evaluation import RankBasedEvaluator

    dataset = UMLS()
    graph, test, known = pykeen_graph(dataset)
    model = EmbeddingModel(name, embedding_dim=16, epochs=2, batch_size=1024, device="cpu", **settings).fit(graph)
    found = evaluate_link_prediction(model, test, known)
    oracle = RankBasedEvaluator(filtered=True).evaluate(
        model.module,
        torch.from_numpy(test),
        additional_filter_triples=[torch.from_numpy(known)],
        batch_size=64,
        use_tqdm=False,
    )
    assert found["MRR"] == pytest.approx(oracle.get_metric("both.realistic.inverse_harmonic_mean_rank"), abs=1e-6)
    assert found["MRR heads"] == pytest.approx(oracle.get_metric("head.realistic.inverse_harmonic_mean_rank"), abs=1e-6)
    for k in (1, 3, 10):
        assert found[f"hits@{k}"] == pytest.approx(oracle.get_metric(f"both.realistic.hits_at_{k}"), abs=1e-6)


def literal_ranks(tables: np.ndarray, test: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Rank by loops: tables[relation, head, tail] are scores."""
    true = {tuple(triple) for triple in np.concatenate([known, test])}
    ranks = []
    for h, r, t in test:
        row = []
        for side in (0, 1):
            own, better, equal = tables[r, h, t], 0, 0
            for other in range(tables.shape[1]):
                triple = (other, r, t) if side == 0 else (h, r, other)
                if triple in true:
                    continue
                score = tables[r, triple[0], triple[2]]
                better, equal = better + (score > own), equal + (score == own)
            row.append(1 + better + equal / 2)
        ranks.append(row)
    return np.array(ranks)


@pytest.mark.parametrize("block_rows", [1, 3, 1000])
def test_ranks_are_those_of_a_literal_loop_with_ties_in_any_block_size(block_rows: int) -> None:
    rng = np.random.default_rng(0)
    tables = rng.integers(0, 4, size=(3, 9, 9)).astype(np.float32)  # many ties
    draw = lambda n: np.stack([rng.integers(0, 9, n), rng.integers(0, 3, n), rng.integers(0, 9, n)], axis=1)  # noqa: E731
    known, test = draw(60), draw(20)
    scores = torch.from_numpy(tables)
    found = filtered_ranks(
        lambda tails, relations: scores[relations, :, tails].clone(),
        lambda heads, relations: scores[relations, heads].clone(),
        test, known, n_entities=9, block_rows=block_rows, device=torch.device("cpu"),
    )  # fmt: skip
    np.testing.assert_array_equal(found, literal_ranks(tables, test, known))


def test_scores_that_are_not_numbers_rank_last() -> None:
    scores = torch.full((1, 4, 4), torch.nan)
    scores[0, 0, 1] = 1.0
    found = filtered_ranks(
        lambda tails, relations: scores[relations, :, tails].clone(),
        lambda heads, relations: scores[relations, heads].clone(),
        np.array([[0, 0, 2]]), np.array([[0, 0, 3]]), n_entities=4, block_rows=8, device=torch.device("cpu"),
    )  # fmt: skip
    assert found[0, 1] == 2.5  # entity 1 is better, entity 0 ties with the true 2, and 3 is known
    assert found[0, 0] == 2.5  # all four heads tie


def test_an_empty_test_part_is_refused() -> None:
    with pytest.raises(DataError, match="at least one test triple"):
        evaluate_link_prediction(EmbeddingModel("TransE"), np.empty((0, 3), np.int64), np.empty((0, 3), np.int64))
