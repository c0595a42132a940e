"""MKR: its equations, its road from triples to scores, its life on disk."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch

from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.errors import DataError
from kgplug.recommenders.click_through.pairs import ClickThroughData, Pairs
from kgplug.recommenders.models.mkr import MKR, MKRTask, TripleBatch, oriented
from kgplug.recommenders.models.mkr_attention import MKRAttention
from kgplug.training.config import DataSize
from tests.unit.helpers.planted import directors_and_fans, shuffled, tiny, unseen_share
from tests.unit.helpers.stirred import stirred as stirred_weights

pytestmark = pytest.mark.training

SMALL = {
    "side": False,
    "embedding_dim": 6,
    "epochs": 4,
    "batch_size": 4,
    "kge_batch_size": 3,
    "kge_interval": 1,
    "device": "cpu",
}


def fitted(seed: int = 0, **settings) -> MKR:
    interactions, knowledge = tiny()
    return MKR(**{**SMALL, **settings}).fit(interactions, knowledge, seed=seed, progress=False)


def stirred(**settings) -> MKR:
    """A fitted model with weights far from where they start, biases among them where it has some."""
    model = fitted(**settings)
    return stirred_weights(model, size=0.3, biases=model.config.bias)


def task_of(model: MKR) -> MKRTask:
    interactions, knowledge = tiny()
    linked = knowledge.entities_of(interactions.item_keys)
    return MKRTask(
        model.network, model.config, ClickThroughData(interactions, None, seed=0), oriented(knowledge, linked)
    )


# The equations, one pair and one triple at a time, with C = v eᵀ in full.


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def weights_of(model: MKR) -> dict[str, np.ndarray]:
    return {name: tensor.double().numpy() for name, tensor in model.network.state_dict().items()}


def dense_layers(model: MKR, name: str, x: np.ndarray, layers: int) -> np.ndarray:
    w, leak = weights_of(model), {"leaky_relu": 0.1, "relu": 0.0, "tanh": None}[model.config.activation]
    assert sum(key.startswith(f"{name}.layers.") for key in w) == 2 * layers  # a weight and a bias each
    for layer in range(layers):
        x = w[f"{name}.layers.{layer}.weight"] @ x + w[f"{name}.layers.{layer}.bias"]
        x = np.tanh(x) if leak is None else np.where(x > 0, x, leak * x)
    return x


def crossed(model: MKR, v: np.ndarray, e: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    w, offset = weights_of(model), model.config.offset
    for layer in range(model.config.low_layers):
        w_vv, w_ev, w_ve, w_ee = w[f"cross.{layer}.weights"] / (offset * len(v) if offset else 1)
        b_v, b_e = w[f"cross.{layer}.bias"]
        c = np.outer(v + offset, e + offset)
        v, e = c @ w_vv + c.T @ w_ev + b_v - offset, c @ w_ve + c.T @ w_ee + b_e - offset
    return v, e


def literal_logit(model: MKR, user: int, item: int) -> tuple[float, np.ndarray, np.ndarray]:
    w, config = weights_of(model), model.config
    u = dense_layers(model, "user_layers", w["users"][user], config.low_layers)
    v, _ = crossed(model, w["items"][item], w["entities"][int(w["item_entities"][item])])
    if config.head == "dot":
        logit = float(u @ v)
    else:
        hidden = dense_layers(model, "head_layers", np.concatenate([u, v]), config.high_layers - 1)
        logit = float((w["head_output.weight"] @ hidden + w["head_output.bias"])[0])
    if config.bias:
        logit += float(w["user_bias"][user, 0] + w["item_bias"][item, 0] + w["global_bias"][0])
    return logit, u, v


def literal_triple_score(model: MKR, head: int, relation: int, tail: int) -> float:
    w = weights_of(model)
    e = w["entities"][head]
    items = np.flatnonzero(w["item_entities"] == head)
    if len(items):
        _, e = crossed(model, w["items"][items[0]], e)
    r, t = w["relations"][relation], w["entities"][tail]
    if model.config.kge_layers == "relation":
        r = dense_layers(model, "relation_layers", r, model.config.low_layers)
    else:
        t = dense_layers(model, "relation_layers", t, model.config.low_layers)
    hidden = dense_layers(model, "tail_layers", np.concatenate([e, r]), model.config.high_layers - 1)
    return sigmoid(float(t @ (w["tail_output.weight"] @ hidden + w["tail_output.bias"])))


def squares(model: MKR, names: tuple[str, ...]) -> float:
    return sum(float((x**2).sum()) for name, x in weights_of(model).items() if name.startswith(names))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"low_layers": 2, "high_layers": 2},
        {"head": "mlp", "high_layers": 2},
        {"bias": False, "low_layers": 3},
        {"activation": "leaky_relu"},
        {"activation": "relu", "offset": 0.0},
        {"activation": "relu", "offset": 0.0, "head": "mlp", "high_layers": 2},
    ],
    ids=["defaults", "deeper", "mlp head", "no bias", "leaky relu", "the paper's unit", "its unit and mlp head"],
)
def test_scores_and_recommendation_loss_equal_the_equations(settings):
    model = stirred(**settings)
    config, w = model.config, weights_of(model)
    users, items = np.array([0, 0, 1, 3, 3]), np.array([0, 4, 1, 2, 2])
    labels = np.array([1, 0, 1, 0, 1], dtype=np.float32)
    expected = [sigmoid(literal_logit(model, u, i)[0]) for u, i in zip(users, items, strict=True)]
    np.testing.assert_allclose(model.score(users, items), expected, atol=1e-5)
    loss = 0.0
    for u, i, y, p in zip(users, items, labels, expected, strict=True):
        _, u_l, v_l = literal_logit(model, u, i)
        e = int(w["item_entities"][i])
        rows = (w["users"][u] ** 2).sum() + (w["items"][i] ** 2).sum() + (w["entities"][e] ** 2).sum()
        if config.bias:
            loss += config.bias_l2 * (w["user_bias"][u, 0] ** 2 + w["item_bias"][i, 0] ** 2) / 5
        loss -= math.log(p if y else 1 - p) / 5
        loss += (config.l2 * rows + config.vector_l2 * ((u_l**2).sum() + (v_l**2).sum())) / 5
    dense = ("user_layers", "cross", "head_layers", "head_output") + (("global_bias",) if config.bias else ())
    loss += config.weight_l2 * squares(model, dense)
    found = task_of(model).recommendation_loss(Pairs(users, items, labels))
    assert found.item() == pytest.approx(loss, abs=1e-5)


@pytest.mark.parametrize("through", ["relation", "tail"])
@pytest.mark.parametrize(
    ("layers", "activation", "offset"), [(1, "tanh", 1.0), (2, "leaky_relu", 1.0), (2, "tanh", 0.0), (2, "relu", 0.0)]
)
def test_the_kg_loss_equals_the_equations_for_heads_that_are_items_and_heads_that_are_not(
    layers, activation, offset, through
):
    depth = {"low_layers": layers, "high_layers": layers, "kge_layers": through, "offset": offset}
    model = stirred(**depth, activation=activation, kge_weight=0.7)
    task, config, w = task_of(model), model.config, weights_of(model)
    is_item = np.isin(task.triples[:, 0], model.network.item_entities.numpy())
    assert is_item.any() and not is_item.all()
    heads, relations, tails = task.triples.T
    corrupt, triple_of = np.array([1, 0, 2]), np.array([0, 2, 2])
    batch = TripleBatch(heads, relations, tails, corrupt, triple_of)
    true = [literal_triple_score(model, h, r, t) for h, r, t in task.triples.tolist()]
    false = [literal_triple_score(model, heads[k], relations[k], t) for k, t in zip(triple_of, corrupt, strict=True)]
    rows = 0.0
    for h, r, t in task.triples.tolist():
        rows += (w["entities"][h] ** 2).sum() + (w["relations"][r] ** 2).sum() + (w["entities"][t] ** 2).sum()
        rows += sum((w["items"][i] ** 2).sum() for i in np.flatnonzero(w["item_entities"] == h))
    rows += sum((w["entities"][t] ** 2).sum() for t in corrupt)
    loss = -0.7 * (np.mean(true) - np.mean(false)) + config.l2 * rows / len(heads)
    loss += config.weight_l2 * squares(model, ("relation_layers", "cross", "tail_layers", "tail_output"))
    assert task.kge_loss(batch).item() == pytest.approx(loss, abs=1e-5)


def test_one_kg_step_follows_every_t_recommendation_steps():
    task = task_of(fitted(kge_interval=2, batch_size=2))
    kinds = [type(batch).__name__ for batch in task.batches(0, np.random.default_rng(0))]
    assert kinds == ["Pairs", "Pairs", "TripleBatch"] * 3


def test_all_triples_follow_every_t_epochs_as_in_the_authors_code():
    task = task_of(fitted(kge_interval=2, kge_turns="epochs", batch_size=2, kge_batch_size=4))
    for epoch in range(3):
        batches = list(task.batches(epoch, np.random.default_rng(0)))
        kinds = [type(batch).__name__ for batch in batches]
        assert kinds == ["Pairs"] * 6 + (["TripleBatch"] * 2 if epoch % 2 == 0 else [])
        passed = [row for batch in batches[6:] for row in zip(batch.heads, batch.relations, batch.tails, strict=True)]
        assert sorted(passed) == (sorted(map(tuple, task.triples)) if epoch % 2 == 0 else [])


def test_each_task_moves_its_own_parameters_only():
    task = task_of(fitted())
    batches = list(task.batches(0, np.random.default_rng(0)))
    fixed = {
        Pairs: ["relations", "tail_output.weight"],
        TripleBatch: ["users", "user_bias", "user_layers.layers.0.weight"],
    }
    for batch in batches[:2]:
        before = {name: tensor.clone() for name, tensor in task.module.state_dict().items()}
        task.step(batch)
        after = task.module.state_dict()
        assert all(torch.equal(before[name], after[name]) for name in fixed[type(batch)])
        assert not torch.equal(before["entities"], after["entities"])  # shared by both


def test_triples_whose_only_item_is_the_tail_are_turned():
    interactions, knowledge = tiny()
    linked = knowledge.entities_of(interactions.item_keys)
    turned = oriented(knowledge, linked)
    made = int(np.flatnonzero(knowledge.relations == "made")[0])
    (row,) = np.flatnonzero(knowledge.triples[:, 1] == made)
    assert turned[row].tolist() == [linked[3], made + knowledge.n_relations, int(knowledge.triples[row, 0])]
    others = np.arange(len(turned)) != row
    assert (turned[others] == knowledge.triples[others]).all()


def test_no_user_dies_with_few_dimensions_and_many_layers():
    interactions, knowledge, *_ = directors_and_fans()
    for seed in range(3):
        model = MKR(side=False, embedding_dim=2, low_layers=3, epochs=3, batch_size=64, device="cpu")
        model.fit(interactions, knowledge, seed=seed, progress=False)
        assert (np.abs(model.user_vectors()).max(axis=1) > 0).all()


def test_films_of_a_liked_director_are_found_through_the_graph():
    interactions, knowledge, film_director, fan_of = directors_and_fans()
    settings = {
        "side": False, "epochs": 30, "batch_size": 64, "kge_batch_size": 256, "kge_interval": 1, "bias": False,
        "l2": 1e-4, "vector_l2": 5e-3, "learning_rate": 5e-3, "kge_learning_rate": 5e-3, "init_scale": 0.1,
        "device": "cpu",
    }  # fmt: skip
    true, false = (
        unseen_share(MKR(**settings).fit(interactions, graph, progress=False), film_director, fan_of)
        for graph in (knowledge, shuffled(knowledge))
    )
    assert true > 0.25  # by chance: 0.03
    assert true > 2 * false


def test_an_item_without_an_entity_is_learnt_and_scored():
    interactions, knowledge = tiny()
    model = fitted()
    assert knowledge.entities_of(interactions.item_keys)[4] == -1
    assert len(set(model.network.item_entities.tolist())) == interactions.n_items
    assert np.isfinite(model.score(np.arange(4), np.full(4, 4))).all()


def test_a_graph_of_one_relation_will_do():
    interactions, knowledge = tiny()
    one = type(knowledge).from_dataframe(knowledge.to_dataframe().assign(relation="r"))
    model = MKR(**SMALL).fit(interactions, one, progress=False)
    assert np.isfinite(model.score(np.arange(4), np.arange(4))).all()


def test_a_graph_is_needed():
    with pytest.raises(DataError, match="needs a knowledge graph"):
        MKR(**SMALL).fit(tiny()[0])


def test_the_same_seed_gives_the_same_model_and_another_seed_another():
    first, again, other = fitted(seed=1), fitted(seed=1), fitted(seed=2)
    for name, tensor in first.network.state_dict().items():
        assert torch.equal(tensor, again.network.state_dict()[name]), name
    assert not torch.equal(first.network.users, other.network.users)


@pytest.mark.parametrize("head", ["dot", "mlp"])
def test_scores_are_those_of_the_lists_and_survive_the_disk(tmp_path, head):
    model = fitted(head=head)
    users = np.arange(4)
    items, scores = model.recommend(users, k=5)
    listed = items >= 0
    pairs = np.repeat(users, listed.sum(axis=1)), items[listed]
    np.testing.assert_allclose(model.score(*pairs), scores[listed], atol=1e-6)
    assert ((scores[listed] > 0) & (scores[listed] < 1)).all()
    model.save(tmp_path / "run")
    loaded = MKR.load(tmp_path / "run")
    assert (loaded.score(*pairs) == model.score(*pairs)).all()
    again_items, again_scores = loaded.recommend(users, k=5)
    assert (again_items == items).all() and (again_scores == scores).all()
    assert (loaded.item_vectors() == model.item_vectors()).all()
    assert (loaded.user_vectors() == model.user_vectors()).all()


def test_the_lists_are_ordered_by_the_dot_product_of_the_vectors_without_biases():
    model = fitted(bias=False)
    expected = model.user_vectors() @ model.item_vectors().T
    items, _ = model.recommend(np.arange(4), k=5, exclude_seen=False)
    assert (items == np.argsort(-expected, axis=1, kind="stable")).all()


def test_a_training_that_was_killed_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    whole, file = fitted(epochs=6), tmp_path / "checkpoint"
    interactions, knowledge = tiny()
    original, calls = MKRTask.validate, []

    def killed(self):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(self)

    monkeypatch.setattr(MKRTask, "validate", killed)
    with pytest.raises(KeyboardInterrupt):
        MKR(**{**SMALL, "epochs": 6}).fit(interactions, knowledge, progress=False, checkpoint=file)
    monkeypatch.undo()
    resumed = MKR(**{**SMALL, "epochs": 6}).fit(interactions, knowledge, progress=False, checkpoint=file)
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, resumed.network.state_dict()[name]), name


def test_sparse_data_are_learnt_at_a_rate_of_their_own_unless_one_is_set() -> None:
    sparse, dense = DataSize(100, 50, 999), DataSize(100, 50, 1000)
    config = MKRAttention.config_class
    assert config().suited(sparse).learning_rate == 1e-2 and config().suited(dense).learning_rate == 3e-3
    assert config(learning_rate=0.015).suited(sparse).learning_rate == 0.015


def test_layers_have_a_rate_of_their_own() -> None:
    task = task_of(fitted(learning_rate=0.02, layer_learning_rate=0.007, kge_learning_rate=0.03))
    assert [optimizer.param_groups[0]["lr"] for optimizer in task.optimizers] == [0.02, 0.007, 0.03, 0.03]


def test_settings_of_runs_from_before_layers_had_their_own_rate_mean_what_they_meant() -> None:
    now = MKR.config_class(learning_rate=0.02, l2=1e-3).model_dump()
    old = MKR.config_class.of_saved({name: now[name] for name in now.keys() - {"bias_l2", "layer_learning_rate"}})
    assert (old["layer_learning_rate"], old["bias_l2"]) == (0.02, 1e-3)
    assert MKR.config_class.of_saved({**old, "bias_l2": 0.5})["bias_l2"] == 0.5
    assert "layer_learning_rate" not in MKRAttention.config_class.of_saved({"learning_rate": 0.02, "bias_l2": 1.0})


def test_the_fewer_likes_a_user_has_the_more_l2_unless_it_is_set() -> None:
    found = [MKR.config_class().suited(DataSize(100, 50, likes)).vector_l2 for likes in (200, 800, 1600, 4000, 9000)]
    assert found == [0.05, 0.05, 0.025, 0.01, 0.01]
    assert MKR.config_class(vector_l2=0.015).suited(DataSize(100, 50, 999)).vector_l2 == 0.015
    assert MKR.config_class().suited(DataSize(100, 50, 0)).vector_l2 == 0.05


def test_vectors_stay_alive_and_know_the_planted_clusters_on_sparse_likes() -> None:
    """Five likes per user: with the defaults, the side term on, MKR's own vectors must learn as well."""
    rng = np.random.default_rng(0)
    n_users, n_items, n_clusters = 1000, 400, 10
    cluster, taste = rng.integers(0, n_clusters, n_items), rng.integers(0, n_clusters, n_users)
    chances = np.where(cluster == taste[:, None], 4.0, 0.1) / np.arange(1, n_items + 1) ** 0.7
    items = np.argsort(-np.log(rng.random(chances.shape)) / chances, axis=1)[:, :5]  # drawn without repetition
    likes = pd.DataFrame({"user": np.repeat(np.arange(n_users), 5), "item": items.ravel()})
    facts = pd.DataFrame({"head": np.arange(n_items), "relation": "IN"})
    facts["tail"] = [f"c{c}-{part}" for c, part in zip(cluster, rng.integers(0, 4, n_items), strict=True)]
    interactions = Interactions.from_dataframe(likes, user="user", item="item")
    train, valid = interactions.split((0.8, 0.2), seed=0, by="row")
    model = MKR(settings="defaults", patience=3, device="cpu")
    model.fit(train, KnowledgeGraph.from_dataframe(facts), valid=valid, progress=False)
    assert model.config.side
    v, u = model.item_vectors(), model.user_vectors()
    assert np.median(np.linalg.norm(v, axis=1)) * np.median(np.linalg.norm(u, axis=1)) > 0.05
    unit = v / np.linalg.norm(v, axis=1, keepdims=True)
    near = np.argsort(-(unit @ unit.T), axis=1)[:, 1:11]
    cluster_of = cluster[model.item_keys.astype(int)]
    assert (cluster_of[near] == cluster_of[:, None]).mean() > 0.5  # by chance: 0.1
