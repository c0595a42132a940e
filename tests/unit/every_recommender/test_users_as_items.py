"""People who follow people: users who are also items are never recommended to themselves."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import kgplug
from kgplug.data.artefact import read_artefact, write_artefact
from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.data.publication import TopLists
from kgplug.data.sampling import negative_sampler
from kgplug.errors import DataError
from kgplug.evaluation.ctr import label_pairs
from kgplug.evaluation.protocol import divide
from kgplug.evaluation.ranking import list_blocks
from kgplug.graph.publishing.check import check_publication
from kgplug.jobs.erase_user import erase_from_run
from kgplug.recommenders.base import Recommender
from kgplug.recommenders.click_through.pairs import ClickThroughData
from kgplug.recommenders.models.item_knn import ItemKNN
from kgplug.recommenders.models.mf import MF
from kgplug.recommenders.models.popularity import Popularity
from kgplug.recommenders.training_data import TrainingData
from tests.unit.helpers.contract import NAMES, SETTINGS

pytestmark = pytest.mark.training

N_PEOPLE, N_STARS = 24, 4  # the stars are followed, and follow nobody
_ids = np.arange(N_PEOPLE + N_STARS)


def _frame() -> pd.DataFrame:
    pairs = [(a, b) for a in range(N_PEOPLE) for b in _ids if a != b and (a * 13 + b * 7) % 4 == 0]
    pairs += [(a, b) for a in range(N_PEOPLE) for b in _ids[N_PEOPLE:] if a % 3]
    frame = pd.DataFrame(pairs, columns=["who", "whom"]).drop_duplicates()
    return frame.assign(stars=np.where(np.arange(len(frame)) % 5, 5, 1))


@pytest.fixture(scope="module")
def people() -> Interactions:
    rows = _frame()
    keys = _ids.astype(object)
    likes = Interactions.from_arrays(
        keys, keys, rows["who"].to_numpy(), rows["whom"].to_numpy(), ratings=rows["stars"].to_numpy(float),
        like_threshold=4, user_label="Person", item_label="Person",
    )  # fmt: skip
    return likes.with_texts({n: f"{n} {'War' if n % 2 else 'Peace'}" for n in _ids})


@pytest.fixture(scope="module")
def knowledge() -> KnowledgeGraph:
    facts = [(n, "LIVES_IN", f"town {n % 4}") for n in _ids.tolist()] + [
        ("town 0", "IN", "land"),
        ("town 1", "IN", "land"),
    ]
    knowledge = KnowledgeGraph.from_dataframe(pd.DataFrame(facts, columns=["head", "relation", "tail"]))
    labels = np.array(["Person" if isinstance(key, int) else "Town" for key in knowledge.entity_keys], dtype=object)
    return replace(knowledge, entity_labels=labels)


def _fit(name: str, people: Interactions, knowledge: KnowledgeGraph) -> Recommender:
    settings = {**SETTINGS[name]}
    settings |= {"epochs": 2} if "epochs" in settings else {}
    model = kgplug.create(name, **settings)
    assert isinstance(model, Recommender)
    return model.fit(people, knowledge if model.inputs.triples else None, progress=False)


def _itself(model: Recommender, **options) -> int:
    everybody = np.arange(len(model.user_keys))
    items, _ = model.recommend(everybody, len(model.item_keys), **options)
    assert (np.sort(items, axis=1)[:, 1:] >= 0).any()
    return int((np.where(items < 0, None, model.item_keys[items]) == model.user_keys[:, None]).sum())


@pytest.mark.parametrize("name", NAMES)
def test_nobody_is_in_their_own_list_with_any_model(
    name: str, people: Interactions, knowledge: KnowledgeGraph, tmp_path: Path
) -> None:
    model = _fit(name, people, knowledge)
    assert _itself(model) == _itself(model, exclude_seen=False) == 0
    vectors = np.random.default_rng(0).normal(size=(people.n_items, 4)).astype(np.float32)
    assert _itself(model, exclude_seen=False, diversity=0.5, vectors=vectors) == 0
    model.save(tmp_path / "run")
    loaded = kgplug.load(tmp_path / "run")
    assert isinstance(loaded, Recommender)
    assert _itself(loaded, exclude_seen=False) == 0


@pytest.mark.parametrize("name", NAMES)
def test_erasing_a_person_also_removes_them_as_an_item(
    name: str, people: Interactions, knowledge: KnowledgeGraph, tmp_path: Path
) -> None:
    model, person = _fit(name, people, knowledge), 5
    model.save(tmp_path / "run")
    row = model.user_index(person)
    before, content = read_artefact(tmp_path / "run")
    assert erase_from_run(tmp_path / "run", "Person", person)
    after, content = read_artefact(tmp_path / "run")
    assert person not in content["user_keys"] and person not in content["item_keys"]
    for array, count in after.items():
        last, stem = array.rsplit(".", 1)[-1], array.rpartition(".")[0]
        if last in ("items", "item_bias", "item_logits", "vectors", "base", "likes_per_item", "users", "user_bias"):
            assert not np.any(count[row]), array
        if last == "indptr" and not stem.endswith(("near", "features")):
            assert not (after[f"{stem}.indices"] == row).any(), array
            assert count[row] == count[row + 1], array
        if last == "entities" and "neighbours" not in array:
            assert not np.any(count[after["model.item_entities"][row]]), array
    assert any(len(after[array]) < len(before[array]) for array in ("seen.indices", "liked.indices"))
    loaded = kgplug.load(tmp_path / "run")
    assert isinstance(loaded, Recommender)
    assert np.isfinite(loaded.score(np.arange(people.n_users), np.arange(people.n_users))).all()
    assert _itself(loaded, exclude_seen=False) == 0
    items, _ = loaded.recommend(np.arange(people.n_users), people.n_items, exclude_seen=False)
    assert row not in items and (items[:, -3] >= 0).all()  # a list lacks its user and the erased person, nobody else
    loaded.user_label = "Author"  # a label of some people, who all are items: they have no vectors of their own
    assert [nodes.label for nodes in loaded._node_vectors() if len(nodes.keys)] in ([], ["Person"])
    assert not erase_from_run(tmp_path / "run", "Person", person)
    assert erase_from_run(tmp_path / "run", "Person", N_PEOPLE + 1)  # who follows nobody


def test_erasing_a_user_keeps_the_item_with_the_same_index(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        [(f"u{u}", i) for u in range(12) for i in range(12) if (u * 5 + i * 3) % 4], columns=["u", "i"]
    )
    model = ItemKNN().fit(Interactions.from_dataframe(frame, user="u", item="i"))
    model.save(tmp_path / "run")
    before, _ = read_artefact(tmp_path / "run")
    assert erase_from_run(tmp_path / "run", "User", "u3")
    after, _ = read_artefact(tmp_path / "run")
    assert np.array_equal(before["model.similarity.indptr"], after["model.similarity.indptr"])


def test_a_user_that_is_an_item_has_one_vector(people: Interactions) -> None:
    model = MF(epochs=2, embedding_dim=4).fit(people, progress=False)
    (only,) = model.publication(k=3).vectors
    assert only.label == "Person" and np.array_equal(only.vectors, model.item_vectors())
    model.user_label, model.own_items = "Fan", np.where(np.arange(people.n_users) < 3, np.arange(people.n_users), -1)
    fans, items = model.publication(k=3).vectors
    assert fans.keys.tolist() == model.user_keys[3:].tolist() and len(items.keys) == people.n_items
    check_publication(model.publication(k=3))


def test_a_run_of_an_earlier_version_matches_users_and_items_by_its_labels(
    people: Interactions, knowledge: KnowledgeGraph, tmp_path: Path
) -> None:
    model = _fit("ItemKNN", people, knowledge)
    model.save(tmp_path / "run")
    arrays, content = read_artefact(tmp_path / "run")
    write_artefact(tmp_path / "run", {name: array for name, array in arrays.items() if name != "own_items"}, content)
    assert _itself(kgplug.load(tmp_path / "run"), exclude_seen=False) == 0  # type: ignore[arg-type]


def test_users_and_items_of_a_dataframe_are_distinct_unless_declared_the_same() -> None:
    others = Interactions.from_dataframe(_frame(), user="who", item="whom")
    assert others.own_items is None
    people = Interactions.from_dataframe(_frame(), user="who", item="whom", users_are_items=True)
    assert people.own_items is not None
    keys = people.item_keys[people.own_items]
    assert (keys[people.own_items >= 0] == people.user_keys[people.own_items >= 0]).all()
    assert _itself(Popularity().fit(people), exclude_seen=False) == 0
    assert people.fingerprint != others.fingerprint


def test_sets_and_copies_keep_which_item_each_user_is(people: Interactions) -> None:
    parts = [*people.split((0.5, 0.5)), people.likes(), people.with_like_threshold(5), people.take(np.arange(3))]
    assert all(part.own_items is people.own_items for part in parts)


def test_reindexing_keeps_which_item_each_user_is(people: Interactions) -> None:
    users, items = people.user_keys[[3, 5, 9]], people.item_keys[[0, 3, 4, 9, 11]]
    own = people.aligned_to(users, items).own_items
    assert own is not None
    assert own.tolist() == [1, -1, 3]


def test_a_person_who_follows_themselves_is_left_out_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    frame = pd.concat([_frame(), pd.DataFrame({"who": [1, 2], "whom": [1, 2], "stars": [5, 5]})])
    with caplog.at_level(logging.WARNING):
        rows = Interactions.from_dataframe(frame, user="who", item="whom", rating="stars", users_are_items=True)
    assert len(rows) == len(_frame())
    assert "Left out 2 rows whose user and item are the same." in caplog.text
    only = pd.DataFrame({"who": [1, 2], "whom": [1, 2]})
    with pytest.raises(DataError, match="user and item are the same in all 2 rows"):
        Interactions.from_dataframe(only, user="who", item="whom", users_are_items=True)


def _draws(people: Interactions) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return (users, negatives) from every sampler, with enough draws that every free item comes up."""
    train, valid, test = people.split((0.6, 0.2, 0.2), by="row")
    rng, users = np.random.default_rng(0), np.repeat(np.arange(N_PEOPLE), 400)
    found = {"training": (users, negative_sampler(train).draw(users, rng))}
    for number in range(20):
        data = ClickThroughData(train, valid, seed=number)
        assert data.valid is not None
        other = data.valid.labels == 0
        found[f"validation {number}"] = data.valid.users[other], data.valid.items[other]
        pairs = label_pairs(test, [train, valid, test], rng)
        found[f"test {number}"] = pairs.users[~pairs.labels], pairs.items[~pairs.labels]
        for protocol in ("honest", "paper"):
            parts = divide(people, (0.6, 0.2, 0.2), like_threshold=4, protocol=protocol, seed=number)
            pairs = parts.test_pairs
            found[f"{protocol} {number}"] = pairs.users[~pairs.labels], pairs.items[~pairs.labels]
    return found


def test_nobody_is_their_own_negative(people: Interactions) -> None:
    for which, (users, items) in _draws(people).items():
        assert not (people.user_keys[users] == people.item_keys[items]).any(), which


def test_a_user_who_follows_everyone_else_has_no_negative() -> None:
    frame = pd.DataFrame([(0, b) for b in range(1, 5)] + [(1, 0)], columns=["a", "b"])
    rows = Interactions.from_dataframe(frame, user="a", item="b", users_are_items=True)
    rng = np.random.default_rng(0)
    assert negative_sampler(rows).draw(np.zeros(20, dtype=np.int64), rng).tolist() == [-1] * 20
    pairs = label_pairs(rows, [rows], rng)
    assert not (pairs.users[~pairs.labels] == 0).any()


class Selfish(Recommender):
    """A third-party model whose lists put each user first."""

    name = "Selfish"
    config_class = Popularity.config_class

    def _fit(self, data: TrainingData) -> None: ...
    def _arrays(self) -> dict:
        return {}

    def _restore(self, arrays: dict) -> None: ...
    def score(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        return (users == items).astype(np.float32)

    def _score_block(self, users: np.ndarray) -> np.ndarray:
        return np.eye(len(self.item_keys), dtype=np.float32)[users]

    def _score_new_users(self, likes: sparse.csr_matrix) -> np.ndarray:
        return np.zeros(likes.get_shape(), dtype=np.float32)


def test_a_third_party_model_lists_nobody_for_themselves(people: Interactions) -> None:
    model = Selfish().fit(people)
    assert _itself(model) == _itself(model, exclude_seen=False) == 0
    train, valid, test = people.split((0.6, 0.2, 0.2))
    for users, items in list_blocks(Selfish().fit(train), test, train, valid, 5):
        assert not (people.item_keys[items] == people.user_keys[users][:, None]).any()


def test_lists_of_one_label_never_contain_the_node_itself() -> None:
    keys = np.array(["a", "b", "c"], dtype=object)
    items = np.array([[0, 1, 2], [0, 1, -1], [1, 0, -1]])
    scores = np.array([[3, 2, 1], [3, 2, -np.inf], [3, 2, -np.inf]], dtype=np.float32)
    lists = TopLists("Person", "Person", keys, keys, items, scores).without_own()
    assert lists.items.tolist() == [[1, 2, -1], [0, -1, -1], [1, 0, -1]]
    assert lists.scores.tolist() == [[2, 1, -np.inf], [3, -np.inf, -np.inf], [3, 2, -np.inf]]
    others = TopLists("User", "Item", keys, keys, items, scores)
    assert others.without_own() is others
