"""CKAN: its sets, its equations triple by triple, the planted director."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kgplug.data.interactions import Interactions
from kgplug.recommenders.click_through.pairs import Pairs
from kgplug.recommenders.click_through.tasks import LayeredTask
from kgplug.recommenders.models import ckan
from kgplug.recommenders.models._ckan_network import sample_liked_together
from kgplug.recommenders.models._ripple_memories import both_ways, sample_members
from kgplug.recommenders.models.ckan import CKAN
from kgplug.recommenders.training_data import TrainingData
from tests.unit.helpers.literal_collaborative import doubles, same_gradients
from tests.unit.helpers.planted import directors_and_fans, shuffled, tiny, unseen_share
from tests.unit.helpers.stirred import stir

pytestmark = pytest.mark.training

SMALL = {
    "embedding_dim": 4, "memory_size": 3, "item_memory_size": 2, "epochs": 2, "batch_size": 4, "init_scale": 0.3,
    "side": False, "device": "cpu",
}  # fmt: skip
USERS, ITEMS = np.array([0, 3, 3, 1, 2, 0, 3, 3, 1, 2]), np.array([0, 4, 0, 1, 3, 2, 1, 1, 4, 0])
LABELS = np.repeat(np.float32([1, 0]), 5)
AGGREGATORS = ["concat", "sum", "pool"]


def _stirred(**settings: object) -> tuple[CKAN, LayeredTask]:
    """A model and its task, weights far from where they start."""
    interactions, knowledge = tiny()
    model = CKAN(**{**SMALL, **settings}).fit(interactions, knowledge, progress=False)
    task = model._task(TrainingData(interactions, knowledge))
    stir(model.network.eval(), biases=model.config.bias)
    return model, task


def _triples(inverse: bool) -> np.ndarray:
    knowledge = tiny()[1]
    triples = both_ways(knowledge.triples, knowledge.n_relations) if inverse else knowledge.triples
    return triples[np.argsort(triples[:, 0], kind="stable")]


def _literal_parts(
    w: dict[str, torch.Tensor], initial: np.ndarray, memories: np.ndarray, triples: np.ndarray, hidden: int = -1
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Return the vector of each step of one user or item, one triple at a time, and the penalty.

    A hidden entity, and the triples to which no other initial entity leads, count in the penalty only.
    """
    zero, penalty = torch.zeros(4, dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    reached = others = [entity for entity in initial if entity not in (-1, hidden)]
    parts = [sum((w["entities"][entity] / len(others) for entity in others), zero)]
    for entity in initial[initial >= 0]:
        penalty = penalty + w["entities"][entity].square().sum() / len(initial)
    for step in memories:
        total, scores, ends = zero, [], []
        for row in step[step >= 0]:
            head, relation, tail = triples[row]
            h, r, t = w["entities"][head], w["relations"][relation], w["entities"][tail]
            x = torch.relu(w["w0.weight"] @ torch.cat([h, r]) + w["w0.bias"])
            x = torch.relu(w["w1.weight"] @ x + w["w1.bias"])
            penalty = penalty + (h.square() + r.square() + t.square()).sum() / len(step)
            if head in reached:
                scores.append(torch.exp(torch.sigmoid(w["w2.weight"] @ x + w["w2.bias"]))[0])
                ends.append(tail)
        for score, tail in zip(scores, ends, strict=True):
            total = total + score / sum(scores) * w["entities"][tail]
        reached = reached + ends
        parts.append(total)
    return parts, penalty


def _joined(parts: list[torch.Tensor], aggregator: str) -> torch.Tensor:
    if aggregator == "concat":
        return torch.cat(parts)
    joined = parts[0]
    for part in parts[1:]:
        joined = joined + part if aggregator == "sum" else torch.maximum(joined, part)
    return joined


def _literal(
    model: CKAN, w: dict[str, torch.Tensor], user: int, item: int, *, left_out: int | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the logit and the penalty of one pair."""
    network, config = model.network, model.config
    triples, hidden = _triples(config.inverse), -1 if left_out is None else network.item_entities[left_out]
    sets = network.of_users
    of_user, penalty = _literal_parts(w, sets.initial[user], sets.memories[user], triples, hidden)
    sets = network.of_items
    of_item, more = _literal_parts(w, sets.initial[item], sets.memories[item], triples)
    own = w["entities"][network.item_entities[item]]
    of_item = [own, *of_item[1:]] if config.aggregator == "concat" else [own, *of_item]
    logit = _joined(of_user, config.aggregator) @ _joined(of_item, config.aggregator)
    penalty = penalty + more + own.square().sum()
    if config.bias:
        biases = w["user_bias"][user, 0], w["item_bias"][item, 0]
        logit, penalty = logit + sum(biases) + w["global_bias"][0], penalty + sum(b**2 for b in biases)
    return logit, penalty


@pytest.mark.parametrize("aggregator", AGGREGATORS)
@pytest.mark.parametrize("settings", [{}, {"inverse": True, "n_layers": 3}, {"bias": False, "n_layers": 1}])
def test_scores_and_lists_are_those_of_the_equations(
    settings: dict, aggregator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ckan, "_BLOCK_TRIPLES", 1)  # so that factors are computed in several blocks
    model, task = _stirred(aggregator=aggregator, **settings)
    model.factors = model.trained_factors()
    w = doubles(model.network)
    expected = np.array([[_literal(model, w, user, item)[0].item() for item in range(5)] for user in range(4)])
    users, items = np.indices((4, 5)).reshape(2, -1)
    np.testing.assert_allclose(model.logits(users, items), expected.ravel(), atol=1e-5)
    np.testing.assert_allclose(model.logits_of_all(np.arange(4)), expected, atol=1e-5)
    for some in (slice(None), [12, 3, 6]):  # all pairs; three pairs of three users, not in order
        np.testing.assert_allclose(
            task.module(users[some], items[some])[0].detach().numpy(), expected.ravel()[some], atol=1e-5
        )


@pytest.mark.parametrize("hide", [True, False])
@pytest.mark.parametrize("aggregator", AGGREGATORS)
def test_the_loss_and_its_gradient_are_those_of_the_equations(aggregator: str, hide: bool) -> None:
    model, task = _stirred(
        aggregator=aggregator, hide_target=hide, l2=0.3, weight_l2=0.2, inverse=True, n_layers=3, memory_size=16
    )
    w = doubles(model.network.train())
    expected = 0.2 * sum(part.square().sum() for name, part in w.items() if name.startswith("w"))
    likes = np.tile(ITEMS[:5], 2)  # a negative hides the like that it was drawn for
    for user, item, label, like in zip(USERS, ITEMS, LABELS, likes, strict=True):
        logit, penalty = _literal(model, w, user, item, left_out=like if hide else None)
        likely = torch.sigmoid(logit if label else -logit)
        expected = expected + (0.3 * penalty - torch.log(likely)) / len(USERS)
    loss = task.loss(Pairs(USERS, ITEMS, LABELS))
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    loss.backward()
    expected.backward()
    assert same_gradients(model.network, w)


@pytest.mark.parametrize("hide", [True, False])
def test_a_user_has_the_same_vector_for_a_like_and_its_negative(hide: bool) -> None:
    """User 2 likes only item 3, so the vector without this like is zero: a vector of another length tells the label."""
    _, task = _stirred(n_layers=3, inverse=True, bias=False, hide_target=hide)
    logits, _ = task.logits(Pairs(np.array([2, 2]), np.array([3, 1]), np.float32([1, 0])))
    assert (logits.tolist() == [0, 0]) == hide


def test_scoring_hides_nothing() -> None:
    model, task = _stirred(n_layers=1, memory_size=8)
    pairs = Pairs(np.array([3, 3]), np.array([4, 1]), np.float32([1, 0]))  # user 3 likes items 0 and 4
    scored = model.network.train()(pairs.users, pairs.items)[0]
    assert torch.equal(scored, model.network.eval()(pairs.users, pairs.items)[0])
    assert (scored != task.logits(pairs)[0]).all()


def test_a_training_that_was_killed_goes_on_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, settings = tmp_path / "checkpoint", {**SMALL, "epochs": 6}
    interactions, knowledge = tiny()
    whole = CKAN(**settings).fit(interactions, knowledge, progress=False)
    original, calls = LayeredTask.validate, list[int]()

    def killed(self: LayeredTask) -> float | None:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(self)

    monkeypatch.setattr(LayeredTask, "validate", killed)
    with pytest.raises(KeyboardInterrupt):
        CKAN(**settings).fit(interactions, knowledge, progress=False, checkpoint=file)
    monkeypatch.undo()
    assert file.exists()
    resumed = CKAN(**settings).fit(interactions, knowledge, progress=False, checkpoint=file)
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, resumed.network.state_dict()[name]), name


def test_sets_are_what_users_like_and_what_is_liked_together_and_triples_that_lead_from_them() -> None:
    interactions, knowledge, *_ = directors_and_fans(fans=6)
    model = CKAN(memory_size=3, item_memory_size=8, epochs=1, side=False, device="cpu", inverse=True)
    network = model.fit(interactions, knowledge, progress=False).network
    entities = knowledge.entities_of(interactions.item_keys)
    triples = both_ways(knowledge.triples, knowledge.n_relations)
    triples = triples[np.argsort(triples[:, 0], kind="stable")]
    liked = [set(interactions.items[interactions.users == user].tolist()) for user in range(interactions.n_users)]
    together = [set().union(*(of for of in liked if item in of)) or {item} for item in range(interactions.n_items)]
    for sets, allowed in ((network.of_users, liked), (network.of_items, together)):
        for initial, memories, items in zip(sets.initial, sets.memories, allowed, strict=True):
            reached = {int(entities[item]) for item in items}
            assert set(initial.tolist()) <= reached
            reached = set(initial.tolist())
            for step in memories:
                assert set(triples[step, 0].tolist()) <= reached
                reached = set(triples[step, 2].tolist())
    assert (network.of_users.initial[:, 0] != network.of_users.initial[:, 1]).all()  # 3 of 4 likes, none twice
    unliked = np.setdiff1d(np.arange(interactions.n_items), interactions.items)
    assert len(unliked) and (network.of_items.initial[unliked] == entities[unliked][:, None]).all()


def test_what_more_users_like_together_is_drawn_more_often() -> None:
    """Item 0 has three users: all like it, two also like item 1, one also likes item 2; nobody likes item 3."""
    users, items = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 0, 1, 0, 2])
    likes = Interactions.from_arrays(np.arange(3).astype(object), np.arange(4).astype(object), users, items)
    drawn = sample_liked_together(likes, 30_000, np.random.default_rng(0))
    np.testing.assert_allclose(np.bincount(drawn[0], minlength=4) / 30_000, [1 / 2, 1 / 3, 1 / 6, 0], atol=0.01)
    assert set(drawn[2].tolist()) == {0, 2} and set(drawn[3].tolist()) == {3}


def test_members_are_drawn_from_equal_ranges() -> None:
    groups, members = np.array([2, 0, 0, 0, 0, 2]), np.array([9, 5, 6, 7, 8, 4])
    for seed in range(20):
        drawn = sample_members(groups, members, n_groups=3, size=2, rng=np.random.default_rng(seed))
        assert drawn[0, 0] in (5, 6) and drawn[0, 1] in (7, 8)
        assert drawn[1].tolist() == [-1, -1] and drawn[2].tolist() == [9, 4]
    nobody = np.empty(0, dtype=np.int64)
    assert (sample_members(nobody, nobody, n_groups=2, size=3, rng=np.random.default_rng(0)) == -1).all()


PLANTED = {
    "embedding_dim": 16, "epochs": 30, "batch_size": 256, "learning_rate": 0.02, "l2": 0.01, "bias": False,
    "side": False, "device": "cpu",
}  # fmt: skip


@pytest.mark.parametrize("aggregator", ["concat", "sum"])
def test_it_finds_the_director_through_the_graph_and_not_without_it(aggregator: str) -> None:
    interactions, knowledge, director, fan = directors_and_fans()
    told, untold = (
        CKAN(**PLANTED, aggregator=aggregator).fit(interactions, graph, progress=False)
        for graph in (knowledge, shuffled(knowledge))
    )
    assert unseen_share(told, director, fan) > 0.7  # by chance: 0.03
    assert unseen_share(untold, director, fan) < 0.45


def test_items_without_an_entity_and_graphs_of_few_triples_are_no_obstacle() -> None:
    interactions, knowledge = tiny()
    for rows in (slice(None), slice(0, 1), slice(5, 6), slice(0, 0)):
        graph = replace(knowledge, triples=knowledge.triples[rows])
        scores = CKAN(**SMALL).fit(interactions, graph, progress=False).score(*np.indices((4, 5)).reshape(2, -1))
        assert np.isfinite(scores).all()
