"""The side term beside any click-through model: counted by hand, trained, saved, and on where likes are few."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import kgplug
from kgplug import models
from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.recommenders.click_through.config import SIDE_BELOW, KnowledgeConfig
from kgplug.recommenders.click_through.logits import LogitRecommender
from kgplug.recommenders.click_through.pairs import ClickThroughData
from kgplug.recommenders.click_through.side_features import SideFeatures, kg_features
from kgplug.recommenders.click_through.side_term import SideTerm, SideTowers
from kgplug.recommenders.health import model_findings
from kgplug.recommenders.models.mkr import MKR
from kgplug.training import loop
from kgplug.training.checkpoint import save_checkpoint
from kgplug.training.config import FEW_LIKES, VERY_FEW_LIKES, DataSize
from tests.unit.helpers.contract import SETTINGS
from tests.unit.helpers.planted import directors_and_fans, shuffled, tiny, unseen_share

pytestmark = pytest.mark.training

BY_PLACE = {"RKGE-CF"}  # its scores are places in a fused list
COMPARING = {"BPR", "CKE"}  # a constant is the same for a like and its negative, so nothing is learnt of it
NAMES = [
    info.name for info in models.available()
    if info.kind == "recommender" and "side" in type(kgplug.create(info.name).config).model_fields
]  # fmt: skip
SCORED = [*(name for name in NAMES if name not in BY_PLACE), "SideTerm"]
UNMEASURED = {"MKR-rated"}  # what suits MKR on sparse data was measured with drawn negatives, not with dislikes
OF_GRAPHS = [
    name for name in NAMES
    if isinstance(kgplug.create(name).config, KnowledgeConfig) and name not in UNMEASURED
]  # fmt: skip
N_USERS, N_ITEMS = 4, 5  # of `tiny`


def fitted(name: str, **settings: Any) -> LogitRecommender:
    interactions, knowledge = tiny()
    interactions = interactions.with_texts({item: f"film {item}" for item in range(N_ITEMS)})
    switch = {"side": True} if name in NAMES else {}  # SideTerm has no switch
    model = kgplug.create(name, **{**SETTINGS[name], "epochs": 3, **switch, **settings})
    assert isinstance(model, LogitRecommender)
    return model.fit(interactions, knowledge if model.inputs.triples else None, progress=False)


def side_of(model: LogitRecommender) -> SideTerm:
    assert model.side is not None
    return model.side


def liked() -> list[set[int]]:
    """Return the items that each user of `tiny` likes."""
    likes = tiny()[0].likes()
    return [set(likes.items[likes.users == user].tolist()) for user in range(N_USERS)]


def features(model: LogitRecommender) -> list[dict[tuple, float]]:
    """Return what each item shares with another, with its idf, triple by triple."""
    interactions, knowledge = tiny()
    having: dict[tuple, set[int]] = {}
    linked = set(interactions.item_keys) & set(knowledge.entity_keys)
    for head, relation, tail in knowledge.triples.tolist():
        ends = knowledge.entity_keys[head], knowledge.entity_keys[tail]
        for item, name in ((ends[0], (relation, "to", ends[1])), (ends[1], (relation, "from", ends[0]))):
            if item in linked:
                having.setdefault(name, set()).add(item)
    shared = {name: items for name, items in having.items() if len(items) > 1 and model.inputs.triples}
    idf = {name: math.log(len(linked) / len(items)) + 1e-2 for name, items in shared.items()}
    return [{name: idf[name] for name, items in shared.items() if item in items} for item in range(N_ITEMS)]


def dense(x: list[float], layer: torch.nn.Linear) -> list[float]:
    weight, bias = layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()
    return [sum(w * v for w, v in zip(row, x, strict=True)) + b for row, b in zip(weight, bias, strict=True)]


def literal(model: LogitRecommender, likes: set[int], item: int, *, own: int = 0) -> float:
    """Return the side term's logit of an item for somebody with these likes, count by count.

    Args:
        own: likes that are not counted of the item.
    """
    of_items, towers = features(model), side_of(model).towers
    degrees = [sum(item in of_user for of_user in liked()) for item in range(N_ITEMS)]
    others = [other for other in range(N_ITEMS) if other != item]
    near = sum(len(set(of_items[item]) & set(of_items[other])) * degrees[other] for other in others)
    profile: dict[tuple, float] = {}
    for other in likes - {item}:
        for name, value in of_items[other].items():
            profile[name] = profile.get(name, 0.0) + value
    product = sum(value * profile.get(name, 0.0) for name, value in of_items[item].items())
    norms = math.sqrt(sum(v * v for v in profile.values()) * sum(v * v for v in of_items[item].values()))
    degree = degrees[item] - own
    of_user, of_item = [math.log1p(len(likes))], [math.log1p(degree), math.log1p(near), float(degree == 0)]
    hidden = [
        [v if v > 0 else 0.1 * v for v in dense(x, layer)]
        for x, layer in ((of_user, towers.user_hidden), (of_item, towers.item_hidden))
    ]
    (*g, b), (*h, a) = dense(hidden[0], towers.user_out), dense(hidden[1], towers.item_out)
    cosine = product / norms if norms > 0 else 0.0
    counts = sum(x * y for x, y in zip(g, h, strict=True)) + a + b
    return counts + towers.profile_weight.item() * math.log1p(10 * cosine)


def scores_of(model: LogitRecommender, logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits)) if model.scores_are_probabilities else logits


@pytest.mark.parametrize("name", SCORED)
def test_a_score_is_the_model_s_own_logit_and_what_is_counted(name: str, tmp_path: Path) -> None:
    model, likes = fitted(name), liked()
    users, items = np.indices((N_USERS, N_ITEMS)).reshape(2, -1)
    side = np.array([literal(model, likes[u], i) for u, i in zip(users.tolist(), items.tolist(), strict=True)])
    expected = scores_of(model, model.logits(users, items) + side)
    np.testing.assert_allclose(model.score(users, items), expected, atol=1e-5)
    listed, scores = model.recommend(np.arange(N_USERS), N_ITEMS, exclude_seen=False)
    table = expected.reshape(N_USERS, N_ITEMS)
    np.testing.assert_allclose(scores, np.take_along_axis(table, listed, axis=1), atol=1e-5)
    model.save(tmp_path / "run")
    again = kgplug.load(tmp_path / "run")
    assert isinstance(again, LogitRecommender) and np.array_equal(again.score(users, items), model.score(users, items))


def test_a_feature_weighs_by_how_few_of_the_items_with_an_entity_have_it() -> None:
    likes = Interactions.from_arrays(np.arange(1), np.arange(5), np.array([0]), np.array([0]))
    rows = [(0, "by", "a"), (1, "by", "a"), (0, "in", "b"), (1, "in", "b"), (2, "in", "b"), (3, "by", "only here")]
    knowledge = KnowledgeGraph.from_dataframe(pd.DataFrame(rows, columns=["head", "relation", "tail"]))
    two, three = math.log(4 / 2) + 1e-2, math.log(4 / 3) + 1e-2  # of four: item 4 has no entity
    expected = [[two, three], [two, three], [0, three], [0, 0], [0, 0]]
    np.testing.assert_allclose(
        -np.sort(-kg_features(likes, knowledge).toarray()), np.sort(expected)[:, ::-1], atol=1e-6
    )


@pytest.mark.parametrize("name", SCORED)
def test_for_a_new_user_it_counts_the_given_likes(name: str) -> None:
    model = fitted(name)
    rows = [{0, 2}, {1}, set()]
    table = np.array([[float(item in row) for item in range(N_ITEMS)] for row in rows], dtype=np.float32)
    own = model.logits_of_new_users(type(model.liked)(table))
    for likes, logits in zip(rows, own, strict=True):
        expected = scores_of(model, logits + [literal(model, likes, item) for item in range(N_ITEMS)])
        items, scores = model.recommend_for(np.array(sorted(likes), dtype=np.int64), N_ITEMS)
        assert set(items.tolist()) == set(range(N_ITEMS)) - likes
        np.testing.assert_allclose(scores, expected[items], atol=1e-5)


@pytest.mark.parametrize("name", SCORED)
def test_it_is_trained_beside_the_model(name: str) -> None:
    model = fitted(name)
    before = SideTowers(torch.Generator().manual_seed(model.seed)).state_dict()
    still = {key for key, tensor in side_of(model).towers.state_dict().items() if torch.equal(tensor, before[key])}
    if not model.inputs.triples:
        assert "profile_weight" in still  # without a graph nobody has a profile
        still.remove("profile_weight")
    assert still <= ({"item_out.bias"} if name in COMPARING else set())


def test_no_like_tells_its_own_label_in_training() -> None:
    model, (interactions, _) = fitted("MKR"), tiny()
    likes = interactions.likes()
    data = ClickThroughData(interactions, None, seed=0, side=side_of(model))
    (batch,) = data.epoch(np.random.default_rng(0), 100)
    own, drawn = batch.matched()
    assert len(own) == len(drawn) == len(likes)
    facts = side_of(model).facts.of_pairs(batch.users, batch.items, hidden=batch.own_likes())
    assert np.array_equal(facts.users[own], facts.users[drawn])
    counts = np.bincount(likes.items, minlength=N_ITEMS)
    np.testing.assert_allclose(facts.items[own, 0], np.log1p(counts[batch.items[own]] - 1), atol=1e-6)
    np.testing.assert_allclose(facts.items[drawn, 0], np.log1p(counts[batch.items[drawn]]), atol=1e-6)
    found = data.with_side(torch.zeros(len(batch)), batch.users, batch.items, batch.own_likes()).detach().numpy()
    expected = [
        literal(model, liked()[user] - {hidden}, item, own=int(label))
        for user, item, label, hidden in zip(batch.users, batch.items, batch.labels, batch.own_likes(), strict=True)
    ]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_users_with_one_like_do_not_tell_it_from_its_negative() -> None:
    likes = Interactions.from_arrays(np.arange(2), np.arange(3), np.array([0, 1]), np.array([0, 1]))
    rows = [(item, "by", "a") for item in range(3)]
    knowledge = KnowledgeGraph.from_dataframe(pd.DataFrame(rows, columns=["head", "relation", "tail"]))
    facts = SideFeatures(likes.matrix(), kg_features(likes, knowledge))
    of_like, of_negative = facts.of_pairs(np.array([0, 0]), np.array([0, 2]), hidden=np.array([0, 0])).profile
    assert of_like == of_negative == 0
    assert facts.of_pairs(np.array([0]), np.array([2])).profile[0] > 0  # in prediction, the like counts


def test_the_loss_of_training_pairs_is_the_weighted_mean_with_the_side_term_and_without() -> None:
    model = fitted("MKR")
    interactions, _ = tiny()
    data = ClickThroughData(interactions, None, seed=0, side=side_of(model))
    pairs = next(data.epoch(np.random.default_rng(0), 100))
    own = torch.linspace(-2, 2, len(pairs))
    added = side_of(model).of_training(pairs.users, pairs.items, pairs.own_likes()).detach()
    assert added.abs().max() > 0.01

    def loss(logits: torch.Tensor) -> float:
        terms = zip(logits.tolist(), pairs.labels.tolist(), strict=True)
        return math.fsum(math.log1p(math.exp(-z if y else z)) for z, y in terms) / len(pairs)

    for weight in (0.0, 0.5, 2.0):
        expected = (loss(own + added) + weight * loss(own)) / (1 + weight)
        assert data.log_loss(own, pairs, own_weight=weight).item() == pytest.approx(expected, abs=1e-5)
    alone = ClickThroughData(interactions, None, seed=0)
    assert alone.log_loss(own, pairs, own_weight=2.0).item() == pytest.approx(loss(own), abs=1e-5)


def test_a_training_that_was_cut_goes_on_to_the_same_side_term(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interactions, knowledge = tiny()
    settings, file, saved = {**SETTINGS["MKR"], "epochs": 4, "side": True}, tmp_path / "checkpoint", []
    whole = MKR(**settings).fit(interactions, knowledge, progress=False)

    def cut(*arguments: Any, **options: Any) -> None:
        save_checkpoint(*arguments, **options)
        saved.append(1)
        if len(saved) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", cut)
        with pytest.raises(KeyboardInterrupt):
            MKR(**settings).fit(interactions, knowledge, progress=False, checkpoint=file)
    again = MKR(**settings).fit(interactions, knowledge, progress=False, checkpoint=file)
    assert again.history["losses"] == whole.history["losses"] and len(again.history["losses"]) == 4
    for mine, theirs in zip(side_of(again).towers.parameters(), side_of(whole).towers.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_it_is_on_where_users_have_few_likes_unless_it_is_set() -> None:
    few, many = (DataSize(1_000, 50, 1_000 * likes) for likes in (SIDE_BELOW - 1, SIDE_BELOW))
    fewest = DataSize(100, 50, 200)
    always = {"MKR-attention", "HiddenEdgeGCN"}  # in their designs
    assert {"MKR", "KGCN", "RippleNet", "RKGE", "RKGE-CF", "LibFM", "Wide&Deep", "DKN"} <= set(OF_GRAPHS)
    for name in NAMES:
        config = kgplug.create(name).config
        assert config.suited(fewest).side == (name in OF_GRAPHS or name in always | {"CKE", "MKR-rated"}), name
        assert config.suited(many).side == (name in always), name
        if name in OF_GRAPHS and name != "CKE":
            assert config.suited(few).side, name
        for size in (fewest, many):
            assert not kgplug.create(name, side=False).config.suited(size).side
            assert kgplug.create(name, side=True).config.suited(size).side


def test_it_learns_faster_where_there_are_few_likes_in_all_unless_a_rate_is_set() -> None:
    few, many = DataSize(9_000, 50, FEW_LIKES - 1), DataSize(9_000, 50, FEW_LIKES)
    for name in ("MKR", "KGCN", "RippleNet"):
        rates = [kgplug.create(name).config.suited(size).side_learning_rate for size in (few, many)]
        assert rates == [3e-2, 1e-2]
        assert kgplug.create(name, side_learning_rate=0.02).config.suited(few).side_learning_rate == 0.02


def test_few_and_sparse_likes_are_learnt_slowly_unless_a_rate_is_set() -> None:
    few, many, dense = DataSize(9_000, 50, FEW_LIKES - 1), DataSize(9_000, 50, FEW_LIKES), DataSize(100, 50, 1_000)
    config = kgplug.create("RippleNet").config
    assert [config.suited(size).learning_rate for size in (few, many, dense)] == [2e-3, 1e-2, 1e-2]
    assert kgplug.create("RippleNet", learning_rate=0.02).config.suited(few).learning_rate == 0.02


@pytest.mark.parametrize("name", ["MKR", "KGCN", "RippleNet", "CKE"])
def test_very_few_likes_are_learnt_in_small_batches_unless_one_is_set(name: str) -> None:
    sizes = [DataSize(100, 50, likes, 1_000) for likes in (100, 1_000, VERY_FEW_LIKES - 1, VERY_FEW_LIKES)]
    configs = [kgplug.create(name).config.suited(size) for size in sizes]
    at_8000 = 1_000 if name == "KGCN" else kgplug.create(name).config.batch_size
    assert [config.batch_size for config in configs] == [64, 125, 999, at_8000]
    if hasattr(configs[0], "kge_batch_size"):
        assert [config.kge_batch_size for config in configs[2:]] == [64, kgplug.create(name).config.kge_batch_size]
    assert kgplug.create(name, batch_size=500).config.suited(sizes[0]).batch_size == 500


@pytest.mark.parametrize("name", ["MKR", "KGCN"])
def test_fitting_sets_it_by_the_data(name: str) -> None:
    interactions, knowledge = tiny()
    settings = {key: value for key, value in SETTINGS[name].items() if key != "epochs"} | {"epochs": 1}
    on, off = (
        kgplug.create(name, **settings, **more).fit(interactions, knowledge, progress=False)
        for more in ({}, {"side": False})
    )
    assert isinstance(on, LogitRecommender) and isinstance(off, LogitRecommender)
    assert on.side is not None and off.side is None


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("MKR", {"kge_weight": 0.0, "side": True, "embedding_dim": 4, "epochs": 150, "batch_size": 64, "l2": 1.0}),
        ("SideTerm", {"epochs": 150, "batch_size": 64}),
    ],
)
def test_counts_and_profile_alone_find_the_films_of_ones_director(name: str, settings: dict[str, Any]) -> None:
    interactions, knowledge, film_director, fan_of = directors_and_fans()
    shares = []
    for graph in (knowledge, shuffled(knowledge)):
        model = kgplug.create(name, **settings, device="cpu").fit(interactions, graph, progress=False)
        shares.append(unseen_share(model, film_director, fan_of))
    assert shares[0] >= 0.6 and shares[1] <= 0.4, shares


def test_alone_it_has_no_vectors_and_reports_no_collapse() -> None:
    interactions, knowledge, *_ = directors_and_fans()
    model = kgplug.create("SideTerm", epochs=50, batch_size=64).fit(interactions, knowledge, progress=False)
    assert model.item_vectors() is None and model.user_vectors() is None
    assert model_findings(model) == []
    nothing_shared = KnowledgeGraph.from_dataframe(pd.DataFrame({"head": [0], "relation": ["is"], "tail": ["alone"]}))
    model = kgplug.create("SideTerm", epochs=50, batch_size=64).fit(interactions, nothing_shared, progress=False)
    assert all(each.startswith("the differences between users do not affect its lists") for each in model.health)
