"""KGCN: its equations, neighbour by neighbour, its road from triples to scores, its life on disk."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import torch

from kgplug.recommenders.click_through.pairs import ClickThroughData, Pairs
from kgplug.recommenders.models.kgcn import KGCN, GraphBatch, KGCNTask
from kgplug.recommenders.parts.entity_graph import EntityGraph, Neighbours
from kgplug.training.config import DataSize
from tests.unit.helpers.needs_dgl import NEEDS_DGL
from tests.unit.helpers.planted import directors_and_fans, shuffled, tiny, unseen_share
from tests.unit.helpers.stirred import stir

pytestmark = pytest.mark.training

SMALL = {"side": False, "embedding_dim": 6, "epochs": 4, "batch_size": 4, "neighbours": 3, "device": "cpu"}
VARIANTS = [
    {},
    {"n_layers": 2},
    {"n_layers": 3, "neighbours": 2},
    {"scaling": "paper"},
    {"aggregator": "concat", "n_layers": 2},
    {"aggregator": "neighbor"},
    {"bias": False},
]
BACKENDS = [pytest.param("dgl", marks=NEEDS_DGL), "torch"]


def fitted(seed: int = 0, **settings) -> KGCN:
    interactions, knowledge = tiny()
    return KGCN(**{**SMALL, **settings}).fit(interactions, knowledge, seed=seed, progress=False)


def stirred(**settings) -> KGCN:
    """A fitted model with weights far from where they start: biases, if any, from 0, attention from uniform."""
    model = fitted(**settings)
    stir(model.network, biases=model.config.bias)
    return model


def name_of(settings: dict) -> str:
    return " ".join(f"{key}={value}" for key, value in settings.items()) or "defaults"


# The equations, one pair and one neighbour at a time.


class Literal:
    """The forward pass in double precision, by recursion over neighbours."""

    def __init__(self, model: KGCN, neighbours: Neighbours) -> None:
        self.config, self.neighbours = model.config, neighbours
        self.w = {name: tensor.double().numpy() for name, tensor in model.network.state_dict().items()}
        self.item_entities = model.item_entities

    def attention(self, user: int, entity: int) -> np.ndarray:
        u = self.w["users"][user]
        products = [u * self.w["relations"][r] for r in self.neighbours.relations[entity]]
        scores = np.array([x.mean() if self.config.scaling == "code" else x.sum() for x in products])
        return np.exp(scores) / np.exp(scores).sum()

    def representation(self, user: int, entity: int, layer: int) -> np.ndarray:
        """Return what `entity` is to the user after `layer` layers."""
        if layer == 0:
            return self.w["entities"][entity]
        own = self.representation(user, entity, layer - 1)
        around = np.zeros_like(own)
        k = len(self.neighbours.entities[entity])
        for a, neighbour in zip(self.attention(user, entity), self.neighbours.entities[entity], strict=True):
            around += a * self.representation(user, neighbour, layer - 1) / (k if self.config.scaling == "code" else 1)
        x = {"sum": own + around, "concat": np.concatenate([own, around]), "neighbor": around}[self.config.aggregator]
        x = self.w[f"layers.{layer - 1}.weight"] @ x + self.w[f"layers.{layer - 1}.bias"]
        return np.tanh(x) if layer == self.config.n_layers else np.maximum(x, 0)

    def vector(self, user: int, item: int) -> np.ndarray:
        return self.representation(user, self.item_entities[item], self.config.n_layers)

    def probability(self, user: int, item: int) -> float:
        logit = float(self.w["users"][user] @ self.vector(user, item))
        logit += float(self.w["user_bias"][user, 0] + self.w["item_bias"][item, 0] + self.w["global_bias"][0])
        return 1 / (1 + math.exp(-logit))

    def label(self, user: int, entity: int, hops: int, known: dict[tuple[int, int], float], held_out: int) -> float:
        """Return the label that reaches `entity` from `hops` hops around it (KGNN-LS)."""
        if entity != held_out and (user, entity) in known:
            return known[user, entity]
        if hops == 0:
            return 0.5
        return sum(
            a * self.label(user, neighbour, hops - 1, known, held_out)
            for a, neighbour in zip(self.attention(user, entity), self.neighbours.entities[entity], strict=True)
        )

    def biases(self, user: int, item: int) -> float:
        """Return the sum of a pair's squared biases."""
        return self.w["user_bias"][user, 0] ** 2 + self.w["item_bias"][item, 0] ** 2

    def rows(self, user: int, item: int) -> float:
        """Return the squared norm of a pair's rows; of each level of the field the mean."""
        total = (self.w["users"][user] ** 2).sum()
        level = [self.item_entities[item]]
        for _ in range(self.config.n_layers + 1):
            total += np.mean([(self.w["entities"][entity] ** 2).sum() for entity in level])
            level = [neighbour for entity in level for neighbour in self.neighbours.entities[entity]]
        return total


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("settings", VARIANTS, ids=name_of)
def test_scores_and_loss_equal_the_equations(settings, backend):
    model = stirred(**settings, backend=backend)
    config = model.config
    users, items = np.array([0, 0, 1, 3, 3, 2]), np.array([0, 4, 1, 2, 2, 3])
    literal = Literal(model, model.neighbours)
    expected = [literal.probability(u, i) for u, i in zip(users, items, strict=True)]
    np.testing.assert_allclose(model.score(users, items), expected, atol=1e-5)
    labels = np.array([1, 0, 1, 0, 1, 1], dtype=np.float32)
    neighbours = model.graph.sample(config.neighbours, np.random.default_rng(9))  # of an epoch: not those of scoring
    literal = Literal(model, neighbours)
    loss = config.l2 * (literal.w["relations"] ** 2).sum() / len(literal.w["relations"])
    loss += config.weight_l2 * sum((literal.w[name] ** 2).sum() for name in literal.w if name.startswith("layers."))
    for u, i, y in zip(users, items, labels, strict=True):
        p = literal.probability(u, i)
        vectors = (literal.w["users"][u] ** 2).sum() + (literal.vector(u, i) ** 2).sum()
        loss += (-math.log(p if y else 1 - p) + config.l2 * literal.rows(u, i) + config.vector_l2 * vectors) / 6
        loss += config.bias_l2 * literal.biases(u, i) / 6
    task = KGCNTask(model, ClickThroughData(tiny()[0], None, seed=0))
    batch = GraphBatch(Pairs(users, items, labels), neighbours, np.empty(0, dtype=np.int64))
    assert task.loss(batch).item() == pytest.approx(loss, abs=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n_layers", [1, 2])
def test_label_smoothness_equals_its_definition(n_layers, backend):
    interactions, _ = tiny()
    smooth = {"n_layers": n_layers, "backend": backend, "ls_weight": 0.8}
    model = stirred(**smooth)
    task = KGCNTask(model, ClickThroughData(interactions, None, seed=0))
    batch = next(iter(task.batches(0, np.random.default_rng(4))))
    likes = interactions.likes()
    known = {(u, model.item_entities[i]): 1.0 for u, i in zip(likes.users.tolist(), likes.items.tolist(), strict=True)}
    n = len(model.network.entities)
    known |= {(code // n, code % n): 0.0 for code in batch.negatives.tolist()}
    assert 0.0 in known.values()
    literal, loss = Literal(model, batch.neighbours), 0.0
    pairs = batch.pairs
    for u, i, y in zip(pairs.users, pairs.items, pairs.labels, strict=True):
        own = model.item_entities[i]
        p = min(max(literal.label(u, own, n_layers, known, own), 1e-6), 1 - 1e-6)
        loss -= 0.8 * math.log(p if y else 1 - p) / len(pairs)
    with_labels = task.loss(batch).item()
    task.config = task.config.model_copy(update={"ls_weight": 0.0})
    assert with_labels - task.loss(batch).item() == pytest.approx(loss, abs=1e-5)


@NEEDS_DGL
@pytest.mark.parametrize("backend", ["auto", "dgl"])
@pytest.mark.parametrize("settings", [{}, {"n_layers": 2, "ls_weight": 0.5}, {"aggregator": "concat"}], ids=name_of)
def test_with_and_without_dgl_the_same_model_is_trained(backend, settings, monkeypatch, tmp_path):
    interactions, knowledge, *_ = directors_and_fans()
    settings = {**SMALL, "epochs": 2, "batch_size": 64, "embedding_dim": 8, **settings}
    with_dgl = KGCN(**settings, backend=backend).fit(interactions, knowledge, progress=False)
    with_dgl.save(tmp_path / "run")
    monkeypatch.setitem(sys.modules, "dgl", None)  # as on a machine where it is not installed
    without = KGCN(**settings).fit(interactions, knowledge, progress=False)
    assert type(with_dgl.graph) is not EntityGraph
    assert type(without.graph) is EntityGraph
    for left, right in zip(with_dgl.network.parameters(), without.network.parameters(), strict=True):
        torch.testing.assert_close(left, right, atol=1e-6, rtol=1e-6)
    users = np.arange(interactions.n_users)
    scores = with_dgl._score_block(users)
    for model in (without, KGCN.load(tmp_path / "run")):
        np.testing.assert_allclose(model._score_block(users), scores, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_films_of_a_liked_director_come_first_where_an_item_is_what_its_neighbours_are(seed: int):
    """Films that nobody likes, too: an item's own vector, which learns only that it was a negative, has no say here."""
    interactions, knowledge, film_director, fan_of = directors_and_fans(seed)
    settings = {
        "side": False, "epochs": 40, "batch_size": 512, "embedding_dim": 32, "neighbours": 8, "aggregator": "neighbor",
        "scaling": "paper", "learning_rate": 0.03, "l2": 1e-3, "vector_l2": 2e-2, "bias": False, "device": "cpu",
    }  # fmt: skip
    true, false = (
        unseen_share(KGCN(**settings).fit(interactions, graph, seed=seed, progress=False), film_director, fan_of)
        for graph in (knowledge, shuffled(knowledge, seed))
    )
    assert true > 0.8  # by chance: 0.03
    assert false < 0.1


def test_films_of_a_liked_director_are_found_through_the_graph():
    interactions, knowledge, film_director, fan_of = directors_and_fans()
    settings = {
        "side": False, "epochs": 40, "batch_size": 512, "neighbours": 2, "bias": False, "vector_l2": 3e-3,
        "device": "cpu",
    }  # fmt: skip
    true, false = (
        unseen_share(KGCN(**settings).fit(interactions, graph, progress=False), film_director, fan_of)
        for graph in (knowledge, shuffled(knowledge))
    )
    assert true > 0.2  # by chance: 0.03
    assert true > 1.6 * false


def test_new_neighbours_are_drawn_each_epoch_unless_told_otherwise():
    interactions, knowledge, *_ = directors_and_fans()
    for resample in (True, False):
        model = KGCN(epochs=1, resample=resample, neighbours=3, device="cpu").fit(
            interactions, knowledge, progress=False
        )
        task = KGCNTask(model, ClickThroughData(interactions, None, seed=0))
        drawn = [next(iter(task.batches(epoch, np.random.default_rng([0, epoch])))).neighbours for epoch in (0, 1)]
        assert (drawn[0].entities == drawn[1].entities).all() != resample


def test_an_item_without_an_entity_is_its_own_neighbour():
    interactions, knowledge = tiny()
    model = fitted()
    assert knowledge.entities_of(interactions.item_keys)[4] == -1
    own = model.item_entities[4]
    assert own == knowledge.n_entities
    assert (model.neighbours.entities[own] == own).all()
    assert (model.neighbours.relations[own] == knowledge.n_relations).all()
    assert np.isfinite(model.score(np.arange(4), np.full(4, 4))).all()


def test_a_graph_of_one_relation_will_do():
    interactions, knowledge = tiny()
    one = type(knowledge).from_dataframe(knowledge.to_dataframe().assign(relation="r"))
    model = KGCN(**SMALL).fit(interactions, one, progress=False)
    assert np.isfinite(model.score(np.arange(4), np.arange(4))).all()


def test_the_same_seed_gives_the_same_model_and_another_seed_another():
    first, again, other = fitted(seed=1), fitted(seed=1), fitted(seed=2)
    for name, tensor in first.network.state_dict().items():
        assert torch.equal(tensor, again.network.state_dict()[name]), name
    assert (first.neighbours.entities == again.neighbours.entities).all()
    assert not torch.equal(first.network.users, other.network.users)


@pytest.mark.parametrize("settings", [{}, {"n_layers": 2, "aggregator": "concat"}], ids=name_of)
def test_scores_are_those_of_the_lists_and_survive_the_disk(tmp_path, settings, monkeypatch):
    model = fitted(**settings)
    users = np.arange(4)
    monkeypatch.setattr("kgplug.recommenders.models.kgcn._BLOCK_CELLS", 1)  # one user at a time
    items, scores = model.recommend(users, k=5)
    monkeypatch.undo()
    assert np.allclose(model.recommend(users, k=5)[1], scores, atol=1e-6)
    listed = items >= 0
    pairs = np.repeat(users, listed.sum(axis=1)), items[listed]
    np.testing.assert_allclose(model.score(*pairs), scores[listed], atol=1e-6)
    assert ((scores[listed] > 0) & (scores[listed] < 1)).all()
    model.save(tmp_path / "run")
    loaded = KGCN.load(tmp_path / "run")
    assert (loaded.score(*pairs) == model.score(*pairs)).all()
    assert (loaded.recommend(users, k=5)[1] == model.recommend(users, k=5)[1]).all()
    assert (loaded.item_vectors() == model.item_vectors()).all()
    assert (loaded.user_vectors() == model.user_vectors()).all()


def test_a_training_that_was_killed_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    whole, file = fitted(epochs=6), tmp_path / "checkpoint"
    interactions, knowledge = tiny()
    original, calls = KGCNTask.validate, []

    def killed(self):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(self)

    monkeypatch.setattr(KGCNTask, "validate", killed)
    with pytest.raises(KeyboardInterrupt):
        KGCN(**{**SMALL, "epochs": 6}).fit(interactions, knowledge, progress=False, checkpoint=file)
    monkeypatch.undo()
    resumed = KGCN(**{**SMALL, "epochs": 6}).fit(interactions, knowledge, progress=False, checkpoint=file)
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, resumed.network.state_dict()[name]), name


def test_layers_have_a_rate_of_their_own_and_a_second_loss_ignores_the_side_term() -> None:
    model = stirred(layer_learning_rate=0.007, learning_rate=0.02, own_weight=3.0)
    data = ClickThroughData(tiny()[0], None, seed=0)
    task = KGCNTask(model, data)
    assert [optimizer.param_groups[0]["lr"] for optimizer in task.optimizers] == [0.02, 0.007]
    asked: list[float] = []

    def log_loss(own: torch.Tensor, pairs: Pairs, *, own_weight: float) -> torch.Tensor:
        asked.append(own_weight)
        return own.mean()

    data.log_loss = log_loss  # its own test shows what it does with the weight
    pairs = Pairs(np.array([0, 1]), np.array([0, 1]), np.array([1, 0], dtype=np.float32))
    task.loss(GraphBatch(pairs, model.neighbours, np.empty(0, dtype=np.int64)))
    assert asked == [3.0]


def test_the_fewer_likes_a_user_has_the_more_l2_unless_it_is_set() -> None:
    found = [KGCN.config_class().suited(DataSize(100, 50, likes)) for likes in (200, 1600, 4000)]
    assert [(each.vector_l2, each.learning_rate, each.l2) for each in found] == [
        (0.05, 1e-2, 1e-3), (0.025, 1e-2, 1e-3), (0.02, 1e-2, 1e-3)
    ]  # fmt: skip
    assert KGCN.config_class(vector_l2=0.015).suited(DataSize(100, 50, 999)).vector_l2 == 0.015


def test_settings_of_earlier_versions_are_those_that_they_were_trained_with() -> None:
    now = KGCN(learning_rate=0.02, l2=1e-3).config.model_dump()
    old = KGCN.config_class.of_saved(
        {name: now[name] for name in now.keys() - {"bias_l2", "layer_learning_rate", "own_weight"}}
    )
    assert (old["layer_learning_rate"], old["bias_l2"], old["own_weight"]) == (0.02, 1e-3, 0.0)
    assert KGCN.config_class.of_saved({**old, "own_weight": 0.5})["own_weight"] == 0.5
