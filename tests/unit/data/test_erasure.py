"""Erase a user from runs: no key, no rows, nothing learnt is left; all other users rank as before."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import kgplug
from kgplug import models
from kgplug.data.artefact import read_artefact, read_content
from kgplug.data.erasure.user_arrays import UserArrays
from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.embeddings.model import EmbeddingModel
from kgplug.errors import RunError
from kgplug.jobs.erase_user import _without_item, erase_from_run
from kgplug.recommenders.base import Recommender
from tests.unit.helpers.contract import NAMES, SETTINGS

pytestmark = pytest.mark.training

COUNTING = {
    "MKR", "MKR-attention", "KGCN", "HiddenEdgeGCN", "CKE", "LibFM", "Wide&Deep", "DKN", "MKR-rated", "RippleNet",
    "CKAN", "RKGE", "RKGE-CF", "CEASE", "UserKNN", "KGNN-LS", "SideTerm",
}  # fmt: skip
N_USERS, N_ITEMS, ERASED = 13, 11, "user 5"  # no other number of things is 13


@pytest.fixture(scope="module")
def interactions() -> Interactions:
    rng = np.random.default_rng(0)
    rows = [
        (f"user {u}", f"film {i}", rng.integers(1, 6)) for u in range(N_USERS) for i in rng.permutation(N_ITEMS)[:6]
    ]
    frame = pd.DataFrame(rows, columns=["user", "film", "stars"])
    likes = Interactions.from_dataframe(frame, user="user", item="film", rating="stars", like_threshold=3)
    return likes.with_texts({f"film {i}": f"{i} {'War' if i % 2 else 'Peace'}" for i in range(N_ITEMS)})


@pytest.fixture(scope="module")
def knowledge() -> KnowledgeGraph:
    facts = [(f"film {i}", "BY", f"director {i % 3}") for i in range(N_ITEMS)]
    facts += [(f"film {i}", "OF", f"genre {i % 2}") for i in range(N_ITEMS)]
    return KnowledgeGraph.from_dataframe(pd.DataFrame(facts, columns=["head", "relation", "tail"]))


@pytest.fixture(scope="module", params=NAMES)
def saved(
    request: pytest.FixtureRequest,
    interactions: Interactions,
    knowledge: KnowledgeGraph,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    settings = {**SETTINGS[request.param]}
    settings |= {"epochs": 2} if "epochs" in settings else {}
    if request.param == "RKGE-CF":  # its score is 1 / place: at this rate no two films are so close that they swap
        settings["side_learning_rate"] = 1e-2
    model = kgplug.create(request.param, **settings)
    assert isinstance(model, Recommender)
    model.fit(interactions, knowledge if model.inputs.triples else None, progress=False)
    folder = tmp_path_factory.mktemp("runs") / "run"
    model.save(folder, key="a key")
    return folder


def test_nothing_of_an_erased_user_is_left_and_the_rest_ranks_as_before(saved: Path) -> None:
    before = kgplug.load(saved)
    assert isinstance(before, Recommender)
    row = before.user_index(ERASED)
    others = np.delete(np.arange(N_USERS), row)
    pairs = np.repeat(others, N_ITEMS), np.tile(np.arange(N_ITEMS), len(others))
    scores = before.score(*pairs)
    learnt, (whole, _) = _about(saved, row), read_artefact(saved)
    if before.name != "Popularity":
        assert any(np.any(part) for part in learnt.values())

    assert erase_from_run(saved, "User", ERASED)
    assert ERASED not in json.dumps(read_content(saved)["user_keys"])
    for name, part in _about(saved, row).items():
        assert not np.any(part), name
    rest, _ = read_artefact(saved)
    for starts in (name for name, array in whole.items() if array.shape == (N_USERS + 1,)):
        for name, array in whole.items():  # of all users' parts, one after the other
            if len(array) == whole[starts][-1]:
                assert len(rest[name]) == rest[starts][-1] < len(array), name
    after = kgplug.load(saved)
    assert isinstance(after, Recommender)
    assert after.seen[row].nnz == after.liked[row].nnz == 0
    moved = abs(after.score(*pairs) - scores).max()
    # What an item's likes are counted for, or a user's neighbours, moves by one like; all else stays.
    spread = scores.max() - scores.min()
    assert moved < spread / 2 if before.name in COUNTING else moved == 0
    after.recommend(np.array([row]), 5)  # an empty place, but no crash
    assert not erase_from_run(saved, "User", ERASED)


def _about(folder: Path, row: int) -> dict[str, np.ndarray]:
    """Return one user's entries of all arrays of a run that have one entry per user."""
    arrays, _ = read_artefact(folder)
    found = {name: array[row] for name, array in arrays.items() if len(array) == N_USERS and "indices" not in name}
    for name, array in arrays.items():
        if array.shape == (N_USERS + 1,):
            found[name] = array[row + 1] - array[row]
    if "model.near.indices" in arrays:
        found["as a neighbour"] = arrays["model.near.indices"] == row
    return found


def test_nothing_of_an_item_is_left(saved: Path) -> None:
    arrays, content = read_artefact(saved)
    item = 4
    kept = _without_item(arrays, saved, content, models.class_of(content["model"]).user_arrays(), item)
    for name, array in kept.items():
        last = name.rsplit(".", 1)[-1]
        if len(array) == N_ITEMS and last not in ("item_entities", "known", "indices"):
            assert not np.any(array[item]), name
        if array.shape == (N_ITEMS + 1,):  # a sparse matrix whose rows are items
            assert array[item] == array[item + 1], name
        if last in ("histories", "rated_items") or (last == "indices" and "near" not in name and "feat" not in name):
            assert item not in array, name
        if name == "model.likes" and array.ndim == 2:
            assert item not in array[1]
        if last == "triples":
            entity = kept["model.item_entities"][item]
            assert (array[(array[:, [0, 2]] == entity).any(axis=1)][:, [0, 2]] == entity).all()
    assert any(not np.array_equal(kept[name], array) for name, array in arrays.items() if name.startswith("model."))


def test_a_model_that_does_not_declare_its_item_arrays_is_refused(saved: Path) -> None:
    arrays, content = read_artefact(saved)
    with pytest.raises(RunError, match="does not say which of its arrays are about items"):
        _without_item(arrays, saved, content, UserArrays(), 4)


def test_a_user_among_the_entities_of_an_embedding_loses_its_vectors(tmp_path: Path) -> None:
    triples = [(u, "LIKES", i) for u in range(7) for i in range(100, 105)]
    frame = pd.DataFrame(triples, columns=["head", "relation", "tail"])
    knowledge = KnowledgeGraph.from_dataframe(frame)
    labels = np.where(knowledge.entity_keys < 100, "User", "Film").astype(object)
    knowledge = replace(knowledge, entity_labels=labels)
    for name in ("TransE", "RGCN"):
        model = kgplug.create(name, embedding_dim=4, epochs=1, device="cpu")
        assert isinstance(model, EmbeddingModel)
        model.fit(knowledge, progress=False)
        folder = tmp_path / name
        model.save(folder, metrics={})
        assert erase_from_run(folder, "User", 3)
        content = read_content(folder)
        assert 3 not in content["entity_keys"]
        after = kgplug.load(folder)
        assert isinstance(after, EmbeddingModel)
        if name == "TransE":
            assert not np.any(after.vectors_of(np.array(["(erased 3)"], dtype=object), label="User"))
        assert not erase_from_run(folder, "User", 3)
        assert not erase_from_run(folder, "Film", 3)


def test_a_run_of_an_unknown_model_is_not_touched(saved: Path, tmp_path: Path) -> None:
    from kgplug.data.artefact import write_artefact

    arrays, content = read_artefact(saved)
    key = content["user_keys"][0]
    write_artefact(tmp_path / "run", arrays, {**content, "model": "Theirs"})
    with pytest.raises(
        RunError, match=r"Theirs is not installed here, .* which arrays are about users\. .* delete the run"
    ):
        erase_from_run(tmp_path / "run", "User", key)
