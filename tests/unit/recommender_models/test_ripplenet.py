"""RippleNet: its memories, its equations, and the graph that its scores come from."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from kgplug.errors import DataError
from kgplug.recommenders.click_through.pairs import ClickThroughData, Pairs
from kgplug.recommenders.models import ripplenet
from kgplug.recommenders.models._ripple_memories import grouped, sample_memories
from kgplug.recommenders.models.ripplenet import RippleNet, RippleTask
from tests.unit.helpers.planted import directors_and_fans, shuffled, tiny, unseen_share

pytestmark = pytest.mark.training

SMALL = {"side": False, "embedding_dim": 5, "memory_size": 4, "epochs": 3, "batch_size": 4, "device": "cpu", "l2": 0.03}
USERS, ITEMS = np.array([0, 3, 3, 1, 0, 2, 3]), np.array([0, 2, 2, 4, 1, 3, 4])
LABELS = np.array([1, 0, 1, 1, 0, 1, 0], dtype=np.float32)


def fitted(seed: int = 0, **settings) -> RippleNet:
    interactions, knowledge = tiny()
    return RippleNet(**{**SMALL, **settings}).fit(interactions, knowledge, seed=seed, progress=False)


def softmax(logits: list[float]) -> list[float]:
    powers = [math.exp(x - max(logits)) for x in logits]
    return [x / sum(powers) for x in powers]


def literal(model: RippleNet, user: int, item: int) -> tuple[float, float, float]:
    """Return (logit, squared norms of the rows, truth of the memories) of one pair, slot by slot."""
    network, config = model.network, model.config
    w = {name: tensor.double().numpy() for name, tensor in network.state_dict().items()}
    d, m = config.embedding_dim, config.memory_size
    target = int(network.item_entities[item])
    v = w["entities"][target]
    rows, truth, user_vector = float(v @ v), 0.0, np.zeros(d)
    for hop in range(config.n_layers):
        o = np.zeros(d)
        if network.memories[user, 0, 0] >= 0:
            slots = [network.triples[k] for k in network.memories[user, hop]]
            for h, r, t in slots:
                head, tail, matrix = w["entities"][h], w["entities"][t], w["relations"][r].reshape(d, d)
                truth += 1 / (1 + math.exp(-float(head @ matrix @ tail))) / m
                rows += float(head @ head + tail @ tail + (matrix**2).sum()) / m
            open_slots = [s for s in slots if not (config.hide_target and target in (s[0], s[2]))]
            asked = [float(v @ w["relations"][r].reshape(d, d) @ w["entities"][h]) for h, r, _ in open_slots]
            for p, (_, _, t) in zip(softmax(asked) if asked else [], open_slots, strict=True):
                o += p * w["entities"][t]
        v = {
            "replace": o, "plus": v + o, "replace_transform": o @ w["transform"],
            "plus_transform": (v + o) @ w["transform"],
        }[config.update]  # fmt: skip
        user_vector = user_vector + o if config.all_hops else o
    logit = float(v @ user_vector)
    if config.bias:
        biases = w["user_bias"][user, 0], w["item_bias"][item, 0]
        logit += sum(biases) + w["global_bias"][0]
        rows += sum(b**2 for b in biases)
    return logit, rows, truth


@pytest.mark.parametrize(
    "settings",
    [
        {"inverse": True}, {"update": "replace", "inverse": True}, {"update": "plus", "all_hops": False},
        {"update": "replace_transform", "n_layers": 3}, {"hide_target": False, "bias": False, "kge_weight": 0.5},
        {"hide_target": False, "inverse": True},
    ],
    ids=["defaults", "replace", "plus, last hop", "replace_transform, 3 hops", "paper", "target not hidden"],
)  # fmt: skip
def test_scores_lists_and_loss_equal_the_equations(settings, monkeypatch):
    monkeypatch.setattr(ripplenet, "GROUP", 2)  # so that a user has several groups
    monkeypatch.setattr(ripplenet, "BLOCK_FLOATS", 50)  # and lists are made of several blocks
    model = fitted(**settings)
    config = model.config
    expected = [literal(model, u, i) for u, i in zip(USERS, ITEMS, strict=True)]
    probabilities = [1 / (1 + math.exp(-logit)) for logit, _, _ in expected]
    np.testing.assert_allclose(model.score(USERS, ITEMS), probabilities, atol=1e-5)
    lists = model._score_block(np.array([3, 0, 1]))
    for row, user in zip(lists, (3, 0, 1), strict=True):
        wanted = [1 / (1 + math.exp(-literal(model, user, item)[0])) for item in range(5)]
        np.testing.assert_allclose(row, wanted, atol=1e-5)
    loss = 0.0
    for (_, rows, truth), p, y in zip(expected, probabilities, LABELS, strict=True):
        loss += (-math.log(p if y else 1 - p) + config.l2 * rows - config.kge_weight * truth) / len(USERS)
    if config.update.endswith("transform"):
        loss += config.weight_l2 * float((model.network.transform.detach().double() ** 2).sum())
    task = RippleTask(model.network, config, ClickThroughData(tiny()[0], None, seed=0))
    assert task.loss(Pairs(USERS, ITEMS, LABELS)).item() == pytest.approx(loss, abs=1e-5)


def test_memories_are_paths_that_start_at_likes():
    interactions, knowledge, *_ = directors_and_fans()
    triples = np.concatenate([knowledge.triples, knowledge.triples[:, [2, 1, 0]] + [0, 2, 0]])
    triples = triples[np.argsort(triples[:, 0], kind="stable")]
    entities = knowledge.entities_of(interactions.item_keys)
    rng = np.random.default_rng(0)
    memories = sample_memories(
        interactions.users, entities[interactions.items], triples,
        n_users=interactions.n_users, n_layers=3, size=6, rng=rng,
    )  # fmt: skip
    for user, hops in enumerate(memories):
        reached = set(entities[interactions.items[interactions.users == user]])
        for hop in hops:
            drawn = triples[hop]
            assert set(drawn[:, 0]) <= reached
            leaving = np.isin(triples[:, 0], list(reached)).sum()
            assert len(set(hop)) == min(6, leaving)  # none twice unless there are too few, and then all
            reached = set(drawn[:, 2])


def test_an_empty_hop_repeats_the_one_before_and_a_user_without_triples_has_none():
    interactions, knowledge = tiny()
    entities = np.where(np.arange(5) < 4, knowledge.entities_of(interactions.item_keys), knowledge.n_entities)
    by = int(np.flatnonzero(knowledge.relations == "by")[0])
    triples = knowledge.triples[knowledge.triples[:, 1] == by]  # from items 0 and 1 only, and no further
    rng = np.random.default_rng(0)
    likes = interactions.likes()
    memories = sample_memories(
        likes.users, entities[likes.items], triples, n_users=likes.n_users, n_layers=2, size=3, rng=rng
    )
    assert (memories[2] == -1).all()  # likes item 3 only
    assert (memories[[0, 1, 3]] >= 0).all() and (memories[:, 0] == memories[:, 1]).all()


def test_pairs_of_one_user_stand_in_groups_and_no_two_in_one_place():
    users = np.random.default_rng(0).integers(0, 7, 100) * 3
    rows, counts = np.unique(users, return_counts=True)
    group_user, group, place = grouped(users, rows, counts, 8)
    assert (rows[group_user[group]] == users).all() and place.max() < 8
    assert len(set(zip(group.tolist(), place.tolist(), strict=True))) == 100


@pytest.mark.parametrize("seed", range(3))
def test_films_of_a_liked_director_are_found_through_the_graph(seed: int):
    """Six fans a director, so that somebody likes nearly every film: one that nobody likes is hardly ever found."""
    interactions, knowledge, film_director, fan_of = directors_and_fans(seed, fans=6)
    settings = {
        "side": False, "epochs": 20, "batch_size": 64, "embedding_dim": 32, "bias": False, "l2": 5e-2,
        "learning_rate": 0.01, "update": "plus", "inverse": True, "memory_size": 64, "init_scale": 0.4, "device": "cpu",
    }  # fmt: skip
    true, false = (
        unseen_share(RippleNet(**settings).fit(interactions, graph, seed=seed, progress=False), film_director, fan_of)
        for graph in (knowledge, shuffled(knowledge, seed))
    )
    assert true > 0.75  # by chance: 0.03
    assert false < 0.25


def test_a_step_moves_only_what_its_users_and_items_touch():
    interactions, knowledge = tiny()
    model = fitted(inverse=False)
    task = RippleTask(model.network, model.config, ClickThroughData(interactions, None, seed=0))
    before = model.network.entities.detach().clone()
    task.step(Pairs(np.array([2]), np.array([4]), np.ones(1, dtype=np.float32)))  # user 2 remembers nothing
    moved = (model.network.entities.detach() != before).any(1).numpy()
    assert not moved[: knowledge.n_entities - 1].all()
    assert (model.network.user_bias.detach()[2] != 0).all()


@pytest.mark.parametrize("update", ["plus_transform", "plus"])
def test_a_user_without_memories_is_scored_by_biases(update):
    model = fitted(inverse=False, update=update)
    lonely = int(np.flatnonzero(model.network.memories[:, 0, 0] < 0)[0])
    network = model.network
    expected = network.user_bias[lonely] + network.item_bias[:, 0] + network.global_bias
    np.testing.assert_allclose(model._score_block(np.array([lonely]))[0], torch.sigmoid(expected.detach()), atol=1e-6)


def test_a_graph_that_leads_nowhere_will_do_and_no_graph_will_not():
    interactions, knowledge = tiny()
    frame = knowledge.to_dataframe()
    apart = type(knowledge).from_dataframe(frame.query("relation == 'made'"))
    model = RippleNet(**SMALL).fit(interactions, apart, progress=False)
    assert np.isfinite(model.score(USERS, ITEMS)).all()
    with pytest.raises(DataError, match="needs a knowledge graph"):
        RippleNet(**SMALL).fit(interactions)


def test_another_seed_gives_other_memories():
    assert (fitted(seed=1, inverse=True).network.memories != fitted(seed=2, inverse=True).network.memories).any()
