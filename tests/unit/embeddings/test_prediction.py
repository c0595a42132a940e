"""Predicted links: exactly the best pairs that are not known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.embeddings import prediction
from kgplug.embeddings.catalogue import EMBEDDINGS
from kgplug.embeddings.model import EmbeddingModel
from kgplug.embeddings.prediction import ask, predict
from kgplug.errors import UsageError

pytestmark = pytest.mark.training

SMALL = {"embedding_dim": 8, "epochs": 2, "batch_size": 64, "device": "cpu"}


def films(n_films: int = 24, n_people: int = 9) -> KnowledgeGraph:
    """Films 1 … n and people "p0" …: who acted in and who directed which; film 1 has the only sequel."""
    keys = [*range(1, n_films + 1), *(f"p{n}" for n in range(n_people)), 2]
    labels = ["Movie"] * n_films + ["Person"] * n_people + ["Genre"]
    triples = [(film, 0, n_films + (film * step) % n_people) for film in range(n_films) for step in (2, 5)]
    triples += [(n_films + film % n_people, 1, film) for film in range(n_films)]
    triples += [(0, 2, 1)] + [(film, 3, n_films + n_people) for film in range(0, n_films, 2)]
    names = ["ACTOR", "DIRECTED", "SEQUEL", "GENRE"]
    return KnowledgeGraph.from_arrays(*(np.array(part, dtype=object) for part in (keys, labels, names)), triples)


@pytest.fixture(scope="module")
def knowledge() -> KnowledgeGraph:
    return films()


@pytest.fixture(scope="module")
def model(knowledge: KnowledgeGraph) -> EmbeddingModel:
    return EmbeddingModel("TransE", **SMALL).fit(knowledge)


def expected(model: EmbeddingModel, known: KnowledgeGraph, relation: str, head_label: str, tail_label: str) -> list:
    """All unknown pairs without loops, by one score a triple, best first."""
    number = list(model.relations).index(relation)
    heads, tails = (np.flatnonzero(model.entity_labels == label) for label in (head_label, tail_label))
    triples = np.array([(h, number, t) for h in heads for t in tails if h != t])
    there = set(map(tuple, known.triples.tolist()))
    triples = np.array([triple for triple in triples.tolist() if tuple(triple) not in there])
    scores = model.score_triples(triples)
    order = np.argsort(-scores, kind="stable")
    pairs = zip(triples[order], scores[order], strict=True)
    return [(model.entity_keys[h], model.entity_keys[t], s) for (h, _, t), s in pairs]


@pytest.mark.parametrize("block", [4_000_000, 600, 1])
@pytest.mark.parametrize("top", [1, 20, 10_000])
def test_the_best_unknown_pairs_are_found_for_any_block_size(monkeypatch, model, knowledge, block, top):
    monkeypatch.setattr(prediction, "_BLOCK_FLOATS", block)
    found = predict(model, ask(model, knowledge, "DIRECTED"), k=top)
    best = expected(model, knowledge, "DIRECTED", "Person", "Movie")[:top]
    assert len(found) == len(best)
    np.testing.assert_allclose(found.scores, [score for *_, score in best], atol=1e-5)
    there = set(zip(found.head_keys, found.tail_keys, strict=True))
    assert len(there) == len(found)
    assert not there & {(f"p{film % 9}", film + 1) for film in range(24)}


@pytest.mark.parametrize("name", list(EMBEDDINGS))
def test_every_model_predicts_with_its_scores_of_single_triples(name, knowledge):
    model = EmbeddingModel(name, **{**SMALL, "epochs": 1}).fit(knowledge)
    found = predict(model, ask(model, knowledge, "DIRECTED", head="p3"), k=50)
    best = expected(model, knowledge, "DIRECTED", "Person", "Movie")
    best = [score for head, _, score in best if head == "p3"][:50]
    np.testing.assert_allclose(found.scores, best, atol=1e-4)


def test_triples_added_since_training_are_known(model, knowledge):
    first = predict(model, ask(model, knowledge, "ACTOR"), k=3)
    row = [
        model.entity_keys.tolist().index(first.head_keys[0]),
        0,
        model.entity_keys.tolist().index(first.tail_keys[0]),
    ]
    row[1] = list(knowledge.relations).index("ACTOR")
    keys, labels, names = knowledge.entity_keys, knowledge.entity_labels, knowledge.relations
    newer = KnowledgeGraph.from_arrays(
        np.append(keys, "new"), np.append(labels, "Person"), names, np.vstack([knowledge.triples, [row]])
    )
    second = predict(model, ask(model, newer, "ACTOR"), k=2)
    assert second.to_dataframe()[["head", "tail"]].values.tolist() == [
        [first.head_keys[n], first.tail_keys[n]] for n in (1, 2)
    ]


def test_types_are_inferred_from_known_triples_if_not_given(model, knowledge):
    question = ask(model, knowledge, "ACTOR")
    assert set(model.entity_labels[question.heads]) == {"Movie"}
    assert set(model.entity_labels[question.tails]) == {"Person"}
    assert question.n_scores == 24 * 9
    given = ask(model, knowledge, "ACTOR", head_label="Genre", tail="p1")
    assert (len(given.heads), len(given.tails)) == (1, 1)


def test_predictions_for_a_relation_with_one_triple_omit_it_and_loops(model, knowledge):
    found = predict(model, ask(model, knowledge, "SEQUEL"), k=10_000).to_dataframe()
    assert len(found) == 24 * 23 - 1
    assert not ((found["head"] == 1) & (found["tail"] == 2)).any()
    assert not (found["head"] == found["tail"]).any()


def test_loops_are_predicted_if_the_graph_has_some():
    rows = [("a", "likes", "a"), ("b", "likes", "c"), ("c", "likes", "a")]
    knowledge = KnowledgeGraph.from_dataframe(pd.DataFrame(rows, columns=["head", "relation", "tail"]))
    model = EmbeddingModel("DistMult", **SMALL).fit(knowledge)
    found = predict(model, ask(model, knowledge, "likes", head_label="", tail_label=""), k=100).to_dataframe()
    assert len(found) == 9 - 3
    assert {("b", "b"), ("c", "c")} < set(zip(found["head"], found["tail"], strict=True))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("DIRECTS", {}), 'Unknown relation "DIRECTS". Did you mean "DIRECTED"?'),
        (("DIRECTED", {"tail_label": "Movies"}), 'Unknown tail type "Movies". Did you mean "Movie"?'),
        (("DIRECTED", {"head_label": "Person", "head": "p99"}), "no :Person node with the key 'p99' as a head"),
        (("DIRECTED", {"tail_label": "Movie", "tail": 30}), "as a tail. The nearest: 24, 23, 22."),
        (("DIRECTED", {"tail": 30}), "no node with the key 30 as a tail. The nearest: 24, 23, 22."),
        (("DIRECTED", {"tail": 0}), "no node with the key 0 as a tail. The nearest: 1, 2, 3."),
        (("DIRECTED", {"tail": 2}), "2 nodes have the key 2 (:Genre, :Movie). Choose one with --tail-type."),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(model, knowledge, asked, message):
    with pytest.raises(UsageError) as caught:
        ask(model, knowledge, asked[0], **asked[1])
    assert message in str(caught.value)


def test_scores_that_differ_by_rounding_are_ordered_by_pair_for_any_block_size():
    rng = np.random.default_rng(0)
    scores = np.repeat(np.array([3, 2, 1], dtype=np.float32), [2, 500, 9])
    codes = rng.permutation(len(scores))
    for _ in range(5):
        noisy = (scores + rng.uniform(-1, 1, len(scores)) * 2.0**-22).astype(np.float32)
        for rows in (7, 100, len(scores)):
            best = prediction._Best(10)
            for start in range(0, len(scores), rows):
                best.offer(noisy[start : start + rows], codes[start : start + rows])
            found, listed = best.ranked()
            assert listed.tolist() == [*sorted(codes[:2].tolist()), *sorted(codes[2:502].tolist())[:8]]
            assert found.dtype == np.float32 and len(set(found[:2].tolist())) == 1 and len(set(found[2:].tolist())) == 1
