"""Going on from an earlier embedding after nodes, relations and triples have arrived."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.embeddings.model import EmbeddingModel
from kgplug.embeddings.training import is_regularised
from kgplug.errors import UsageError

pytestmark = pytest.mark.training

SETTINGS = {"embedding_dim": 12, "epochs": 15, "batch_size": 64, "learning_rate": 0.03}


def rows(films: range, genre: str = "genre") -> list[tuple[str, str, str]]:
    """Films of two families, each with the actors and the genre of its own."""
    found = [(f"film{f}", "actor", f"actor{f % 2}{(f // 2 + shift) % 5}") for f in films for shift in range(3)]
    return found + [(f"film{f}", genre, f"genre{f % 2}") for f in films]


def graph(*parts: list[tuple[str, str, str]]) -> KnowledgeGraph:
    return KnowledgeGraph.from_dataframe(
        pd.DataFrame([row for part in parts for row in part], columns=["head", "relation", "tail"])
    )


OLD = graph(rows(range(30)))
GROWN = graph(
    rows(range(30)), rows(range(30, 36)), [("film30", "a_sequel_of", "film2"), ("film31", "a_sequel_of", "film3")]
)


def vectors_by_key(model: EmbeddingModel) -> dict[str, np.ndarray]:
    return dict(zip(map(str, model.entity_keys), model.entity_vectors(), strict=True))


@pytest.fixture(scope="module", params=["TransE", "TransH", "TransR", "RotatE", "DistMult", "PairRE"])
def earlier(request: pytest.FixtureRequest) -> EmbeddingModel:
    return EmbeddingModel(request.param, **SETTINGS).fit(OLD)


def test_frozen_rows_do_not_change_by_a_bit_and_new_ones_learn(earlier: EmbeddingModel) -> None:
    model = EmbeddingModel(earlier.name, **SETTINGS).fit(GROWN, start=earlier, freeze=True)
    before, after = vectors_by_key(earlier), vectors_by_key(model)
    assert all(np.array_equal(after[key], vector) for key, vector in before.items())
    places = {name: number for number, name in enumerate(model.relations)}
    for part, old in earlier.relation_vectors().items():
        kept = model.relation_vectors()[part][[places[name] for name in earlier.relations]]
        assert np.array_equal(kept, old)
    fresh = EmbeddingModel(earlier.name, **{**SETTINGS, "epochs": 1, "learning_rate": 1e-9}).fit(GROWN)
    assert not np.array_equal(after["film30"], vectors_by_key(fresh)["film30"])
    assert model.history["losses"][-1] < model.history["losses"][0]


def test_without_freeze_training_starts_from_the_earlier_vectors(earlier: EmbeddingModel) -> None:
    crawling = {**SETTINGS, "epochs": 1, "learning_rate": 1e-7}
    model = EmbeddingModel(earlier.name, **crawling).fit(GROWN, start=earlier)
    before, after = vectors_by_key(earlier), vectors_by_key(model)
    assert all(np.allclose(after[key], vector, atol=1e-4) for key, vector in before.items())
    assert not all(np.array_equal(after[key], vector) for key, vector in before.items())


def test_the_closed_form_alone_places_a_new_film_near_its_family() -> None:
    settings = {**SETTINGS, "epochs": 60}
    earlier = EmbeddingModel("TransE", **settings).fit(OLD)
    model = EmbeddingModel("TransE", **{**settings, "epochs": 1, "learning_rate": 1e-9}).fit(
        GROWN, start=earlier, freeze=True
    )
    numbers = {str(key): number for number, key in enumerate(model.entity_keys)}
    for film in range(30, 36):
        near = [str(model.entity_keys[n]) for n in model.nearest(numbers[f"film{film}"], k=25)[0]]
        families = [int(key[4:]) % 2 for key in near if key.startswith("film")][:5]
        assert families == [film % 2] * 5


def test_the_closed_form_is_the_mean_of_the_positions_that_triples_suggest() -> None:
    earlier = EmbeddingModel("TransE", **SETTINGS).fit(OLD)
    with_one = graph(rows(range(30)), [("new", "actor", "actor01"), ("film4", "genre", "new")])
    still = {**SETTINGS, "epochs": 1, "learning_rate": 1e-12}
    model = EmbeddingModel("TransE", **still).fit(with_one, start=earlier, freeze=True)
    v = vectors_by_key(earlier)
    r = dict(zip(earlier.relations, earlier.relation_vectors()["translation"], strict=True))
    expected = ((v["actor01"] - r["actor"]) + (v["film4"] + r["genre"])) / 2
    np.testing.assert_allclose(vectors_by_key(model)["new"], expected / np.linalg.norm(expected), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "settings", "freeze", "sentence"),
    [
        ("DistMult", {}, False, "DistMult cannot continue from run .* which is a TransE"),
        ("TransE", {"embedding_dim": 5}, False, "its vectors have other lengths"),
        ("TransE", {}, True, "nothing new to train"),
    ],
)
def test_a_start_that_does_not_fit_is_refused(name: str, settings: dict, freeze: bool, sentence: str) -> None:
    earlier = EmbeddingModel("TransE", **SETTINGS).fit(OLD)
    with pytest.raises(UsageError, match=sentence):
        EmbeddingModel(name, **{**SETTINGS, **settings}).fit(OLD, start=earlier, freeze=freeze)


@pytest.mark.parametrize("reciprocal", [False, True])
def test_a_start_with_other_inverse_relations_is_refused(reciprocal: bool) -> None:
    few = {**SETTINGS, "epochs": 1}
    earlier = EmbeddingModel("ComplEx", **few, training="negatives", reciprocal=reciprocal).fit(OLD)
    sentence = f'which has reciprocal={reciprocal}. Set reciprocal={reciprocal} and training="negatives", as in'
    with pytest.raises(UsageError, match=sentence):
        EmbeddingModel("ComplEx", **few, reciprocal=not reciprocal).fit(GROWN, start=earlier)


@pytest.mark.parametrize("name", ["ComplEx", "DistMult"])
def test_vectors_are_carried_over_to_another_training_without_a_regulariser(name: str) -> None:
    few = {**SETTINGS, "epochs": 1}
    earlier = EmbeddingModel(name, **few, training="negatives", reciprocal=True).fit(OLD)
    assert is_regularised(earlier.module)
    later = EmbeddingModel(name, **{**few, "learning_rate": 1e-9}, training="1-vs-all").fit(GROWN, start=earlier)
    assert not is_regularised(later.module)
    after = vectors_by_key(later)
    for key, vector in vectors_by_key(earlier).items():
        np.testing.assert_allclose(after[key], vector, atol=1e-6)


def test_graph_networks_must_be_trained_from_scratch() -> None:
    earlier = EmbeddingModel("RGCN", **{**SETTINGS, "epochs": 1}).fit(OLD)
    with pytest.raises(UsageError, match="from the whole graph; train it from scratch"):
        EmbeddingModel("RGCN", **{**SETTINGS, "epochs": 1}).fit(GROWN, start=earlier)


def test_a_continued_model_is_saved_and_loaded(tmp_path: Path) -> None:
    earlier = EmbeddingModel("TransH", **SETTINGS).fit(OLD)
    earlier.save(tmp_path / "earlier")
    again = EmbeddingModel.load(tmp_path / "earlier")
    models = [EmbeddingModel("TransH", **SETTINGS).fit(GROWN, start=start, freeze=True) for start in (earlier, again)]
    models[1].save(tmp_path / "grown")
    vectors = [each.entity_vectors() for each in (*models, EmbeddingModel.load(tmp_path / "grown"))]
    assert np.array_equal(vectors[0], vectors[1]) and np.array_equal(vectors[1], vectors[2])


def test_a_triple_keeps_its_set_when_others_are_added() -> None:
    parts = [{tuple(row) for row in part.to_dataframe().to_numpy()} for part in OLD.split((0.6, 0.2, 0.2), seed=4)]
    grown = [{tuple(row) for row in part.to_dataframe().to_numpy()} for part in GROWN.split((0.6, 0.2, 0.2), seed=4)]
    assert all(small <= large for small, large in zip(parts, grown, strict=True))
    assert sum(map(len, parts)) == OLD.n_triples and all(parts)
    assert [len(part) for part in parts] != [part.n_triples for part in OLD.split((0.6, 0.2, 0.2), seed=5)]


def test_a_split_keeps_its_fractions_overall() -> None:
    many = KnowledgeGraph.from_dataframe(pd.DataFrame({"head": range(20_000), "relation": "r", "tail": range(20_000)}))
    sizes = [part.n_triples for part in many.split((0.9, 0.05, 0.05), seed=0)]
    np.testing.assert_allclose(np.array(sizes) / 20_000, [0.9, 0.05, 0.05], atol=0.006)
