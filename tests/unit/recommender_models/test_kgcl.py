"""KGCL: its equations fact by fact, its views and their contrast, the planted director."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.recommenders.click_through.pairs import Comparisons
from kgplug.recommenders.models import _kgcl_network
from kgplug.recommenders.models._kgcl_network import View, contrast, keep_chances
from kgplug.recommenders.models.kgcl import KGCL, KGCLTask
from kgplug.recommenders.parts.operations.layers import LEAK
from kgplug.recommenders.parts.translations import Triples
from kgplug.recommenders.training_data import TrainingData
from tests.unit.helpers import planted
from tests.unit.helpers.literal_collaborative import doubles, literal_triples, same_gradients
from tests.unit.helpers.planted import directors_and_fans, shuffled, unseen_share
from tests.unit.helpers.stirred import stir

pytestmark = pytest.mark.training

SMALL = {"embedding_dim": 4, "epochs": 2, "batch_size": 4, "init_scale": 0.3, "side": False, "device": "cpu"}
BATCH = Comparisons(np.array([0, 0, 3]), np.array([0, 1, 4]), np.array([2, 3, 1]))

Fact = tuple[int, int, int]  # item, relation (inverse ones after the others), entity


def tiny() -> tuple[Interactions, KnowledgeGraph]:
    """Return the tiny data with one more fact, of which an item with other facts is the tail."""
    interactions, knowledge = planted.tiny()
    more = pd.DataFrame([("c", "made", 1)], columns=["head", "relation", "tail"])
    return interactions, KnowledgeGraph.from_dataframe(pd.concat([knowledge.to_dataframe(), more]))


def _stirred(**settings: object) -> tuple[KGCL, KGCLTask]:
    """A model and its task, weights far from where they start."""
    interactions, knowledge = tiny()
    model = KGCL(**{**SMALL, **settings}).fit(interactions, knowledge, progress=False)
    task = model._task(TrainingData(interactions, knowledge))
    stir(model.network.eval())
    return model, task


def _whole() -> tuple[list[Fact], list[tuple[int, int]]]:
    """Return all facts of items and all likes of the tiny data."""
    interactions, knowledge = tiny()
    likes, triples = literal_triples(interactions, knowledge)
    n = knowledge.n_relations
    facts = [(h - 4, r, t - 4) for h, r, t in triples] + [(t - 4, r + n, h - 4) for h, r, t in triples]
    return [fact for fact in facts if fact[0] < 5], [(user, item - 4) for user, _, item in likes]


def _informed_items(w: dict[str, torch.Tensor], facts: list[Fact]) -> list[torch.Tensor]:
    """Eqs. 1 and 2, one fact at a time."""
    n, found = len(w["relations"]), []
    for item in range(5):
        x = w["entities"][item]
        own = [
            (w["relations"][r] if r < n else -w["relations"][r - n], w["entities"][e]) for i, r, e in facts if i == item
        ]
        scores = []
        for r, e in own:
            score = r @ (w["attention.weight"] @ torch.cat([e, x]) + w["attention.bias"])
            scores.append(torch.exp(score if score > 0 else LEAK * score))
        found.append(x + sum(score / sum(scores) * e for score, (_, e) in zip(scores, own, strict=True)))
    return found


def _literal_vectors(
    w: dict[str, torch.Tensor], facts: list[Fact], likes: list[tuple[int, int]], n_layers: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The vectors of users and of items: LightGCN, one like at a time."""
    users, items = list(w["users"]), _informed_items(w, facts)
    of_users, of_items = list(users), list(items)
    degree = [[sum(like[end] == node for like in likes) for node in range(n)] for end, n in ((0, 4), (1, 5))]
    for _ in range(n_layers):
        next_users, next_items = [torch.zeros(4).double() for _ in users], [torch.zeros(4).double() for _ in items]
        for user, item in likes:
            weight = 1 / math.sqrt(degree[0][user] * degree[1][item])
            next_users[user] = next_users[user] + weight * items[item]
            next_items[item] = next_items[item] + weight * users[user]
        users, items = next_users, next_items
        of_users = [total + x for total, x in zip(of_users, users, strict=True)]
        of_items = [total + x for total, x in zip(of_items, items, strict=True)]
    return torch.stack(of_users) / (n_layers + 1), torch.stack(of_items) / (n_layers + 1)


def _cosine(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return x @ y / (x.norm() * y.norm())


def _literal_contrast(first: torch.Tensor, second: torch.Tensor, nodes: list[int], compared: list[int], t: float):
    total = torch.zeros((), dtype=torch.float64)
    for node in nodes:
        others = sum(torch.exp(_cosine(first[node], second[other]) / t) for other in compared)
        total = total - torch.log(torch.exp(_cosine(first[node], second[node]) / t) / others)
    return total / len(nodes)


def _view(task: KGCLTask, seed: int) -> tuple[View, list[Fact], list[tuple[int, int]]]:
    """A view that lacks about a third of all facts and likes, and what is left of both."""
    rng, network = np.random.default_rng(seed), task.module
    facts = network.whole.facts.kept(rng.random(len(network.whole.facts)) < 0.7)
    kept = rng.random(len(network._liked)) < 0.7
    listed = zip(*(part.tolist() for part in (facts.into, facts.relations, facts.sources)), strict=True)
    likes = zip(network._liking[kept].tolist(), network._liked[kept].tolist(), strict=True)
    return View(facts, network._graph_of(kept)), list(listed), list(likes)


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_scores_are_those_of_the_equations(n_layers: int) -> None:
    model, _ = _stirred(n_layers=n_layers)
    model.factors = model.trained_factors()
    users, items = _literal_vectors(doubles(model.network), *_whole(), n_layers)
    expected = (users @ items.T).detach().numpy()
    pairs = np.indices((4, 5)).reshape(2, -1)
    np.testing.assert_allclose(model.score(*pairs), expected.ravel(), atol=1e-5)
    np.testing.assert_allclose(model._score_block(np.arange(4)), expected, atol=1e-5)


@pytest.mark.parametrize("most", [5, 3, 2])
def test_the_loss_and_its_gradient_are_those_of_the_equations(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With many nodes (here: more than 3 or 2), the contrast only compares those of the batch, or of a part of it."""
    monkeypatch.setattr(_kgcl_network, "MOST_COMPARED", most)
    model, task = _stirred(contrast_weight=0.7, temperature=0.4, l2=0.3)
    parts = [_view(task, seed) for seed in (1, 2)]
    task.views = parts[0][0], parts[1][0]
    w = doubles(model.network)
    users, items = _literal_vectors(w, *_whole(), 2)
    first, second = (_literal_vectors(w, facts, likes, 2) for _, facts, likes in parts)
    expected = torch.zeros((), dtype=torch.float64)
    for kind, nodes, n in ((0, BATCH.users.tolist(), 4), (1, BATCH.liked.tolist(), 5)):
        for part in (nodes[:2], nodes[2:]) if most == 2 else (nodes,):
            compared = list(range(n)) if most == 5 else sorted(set(part))
            of_part = _literal_contrast(first[kind], second[kind], part, compared, 0.4)
            expected = expected + 0.7 * len(part) / len(nodes) * of_part
    for user, liked, other in zip(BATCH.users, BATCH.liked, BATCH.others, strict=True):
        difference = users[user] @ items[liked] - users[user] @ items[other]
        norms = [2 * w["users"][user].square().sum(), *(w["entities"][i].square().sum() for i in (liked, other))]
        expected = expected - torch.log(torch.sigmoid(difference)) / 3 + 0.3 * sum(norms) / 6
    loss = task.bpr_loss(BATCH)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    loss.backward()
    expected.backward()
    assert same_gradients(model.network, w)


def test_the_loss_of_triples_and_its_gradient_are_those_of_transe() -> None:
    model, task = _stirred(l2=0.3)
    batch = Triples(np.array([0, 1, 1]), np.array([0, 0, 1]), np.array([5, 5, 6]), np.array([6, 6, 2]))
    w = doubles(model.network)
    expected = torch.zeros((), dtype=torch.float64)
    for head, relation, tail, corrupt in zip(batch.heads, batch.relations, batch.tails, batch.corrupt, strict=True):
        h, t, other = (w["entities"][end] for end in (head, tail, corrupt))
        r = w["relations"][relation]
        margin = (h + r - other).square().sum() - (h + r - t).square().sum()
        expected = (
            expected - torch.log(torch.sigmoid(margin)) / 3 + 0.1 * sum(x.square().sum() for x in (h, r, t, other))
        )
    loss = task.kge_loss(batch)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    loss.backward()
    expected.backward()
    assert same_gradients(model.network, w)


def test_likes_of_items_that_keep_their_vector_are_kept_more_often() -> None:
    consistency = np.array([1.0, 1.0, 0.9, -0.5, 0.2, 0.9])
    weights = np.exp(consistency)
    shares = np.maximum((weights - weights.min()) / (weights.max() - weights.min()), 0.3)
    chances = keep_chances(consistency, 0.6)
    np.testing.assert_allclose(chances, 0.4 * shares / shares.mean())
    assert chances.mean() == pytest.approx(0.4) and chances[0] > chances[2] > chances[4] > chances[3] - 1e-9
    np.testing.assert_allclose(keep_chances(consistency, 0.1), np.minimum(0.9 * shares / shares.mean(), 0.95))
    assert keep_chances(consistency, 0.1).max() == 0.95 and keep_chances(consistency, 0.1).mean() < 0.9
    assert (keep_chances(consistency, 0.0) == 1).all()
    np.testing.assert_allclose(keep_chances(np.full(3, 0.7), 0.2), 0.8)  # all alike


def test_views_lack_random_facts_and_the_likes_of_items_that_these_change() -> None:
    interactions, knowledge, _, _ = directors_and_fans(fans=6)
    model = KGCL(embedding_dim=8, epochs=1, side=False, device="cpu").fit(interactions, knowledge, progress=False)
    network, rng = model.network, np.random.default_rng(0)
    first, second = network.views(0.5, 0.4, rng)
    whole, kept = len(network.whole.facts), [len(view.facts) for view in (first, second)]
    assert all(abs(n / whole - 0.5) < 0.1 for n in kept)
    assert not np.array_equal(first.facts.sources, second.facts.sources)
    with torch.no_grad():
        vectors = [network.informed_items(view.facts) for view in (first, second)]
    consistency = torch.cosine_similarity(*vectors).numpy()
    steady = consistency > np.median(consistency)
    n_likes = np.bincount(network._liked, minlength=network.n_items)
    left = np.diff(first.likes.matrix.indptr)[network.n_users :]
    assert left[steady].sum() / n_likes[steady].sum() > 0.1 + left[~steady].sum() / n_likes[~steady].sum()
    assert 0.5 < left.sum() / n_likes.sum() < 0.7


def test_training_lowers_the_contrast_only_if_it_counts() -> None:
    interactions, knowledge = directors_and_fans()[:2]
    found = []
    for weight in (0.0, 5.0):
        settings = {**PLANTED, "epochs": 20, "contrast_weight": weight}
        network = KGCL(**settings).fit(interactions, knowledge, progress=False).network
        with torch.no_grad():
            items = [network(view)[1] for view in network.views(0.5, 0.1, np.random.default_rng(0))]
            found.append(contrast(items[0], items[1], np.arange(network.n_items), 0.5).item())
    assert found[1] < found[0] - 0.05


def test_without_contrast_the_views_change_nothing() -> None:
    _, task = _stirred(contrast_weight=0.0)
    losses = []
    for seed in (1, 2):
        task.views = _view(task, seed)[0], _view(task, seed + 2)[0]
        losses.append(task.bpr_loss(BATCH).item())
    assert losses[0] == losses[1]


def test_the_size_of_a_step_is_that_of_its_largest_tensor(monkeypatch: pytest.MonkeyPatch) -> None:
    """With vectors of one number, the largest is the matrix of cosines of 4 or 5 nodes with 5 items."""
    _, task = _stirred(embedding_dim=1, batch_size=8)
    assert task.step_floats == 4 * 5
    _, task = _stirred(embedding_dim=1, batch_size=100)
    assert task.step_floats == 5 * 5
    monkeypatch.setattr(_kgcl_network, "MOST_COMPARED", 4)  # fewer than the items
    assert task.step_floats == 4 * 4
    _, task = _stirred(embedding_dim=1, batch_size=100, contrast_weight=0.0)
    assert task.step_floats == len(task.module.entities)


def test_a_training_that_was_killed_goes_on_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, settings = tmp_path / "checkpoint", {**SMALL, "epochs": 6}
    interactions, knowledge = tiny()
    whole = KGCL(**settings).fit(interactions, knowledge, progress=False)
    original, calls = KGCLTask.validate, list[int]()

    def killed(self: KGCLTask) -> float | None:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(self)

    monkeypatch.setattr(KGCLTask, "validate", killed)
    with pytest.raises(KeyboardInterrupt):
        KGCL(**settings).fit(interactions, knowledge, progress=False, checkpoint=file)
    monkeypatch.undo()
    assert file.exists()
    resumed = KGCL(**settings).fit(interactions, knowledge, progress=False, checkpoint=file)
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, resumed.network.state_dict()[name]), name


def test_an_epoch_has_all_triples_and_then_all_likes() -> None:
    _, task = _stirred(batch_size=4, kge_batch_size=2)
    batches = list(task.batches(0, np.random.default_rng(0)))
    triples = [batch for batch in batches if isinstance(batch, Triples)]
    assert batches[: len(triples)] == triples and len(triples) < len(batches)
    assert sum(map(len, batches[len(triples) :])) == len(tiny()[0].likes())


PLANTED = {
    "embedding_dim": 16, "epochs": 60, "batch_size": 256, "learning_rate": 0.02, "l2": 0.02, "temperature": 0.5,
    "side": False, "device": "cpu",
}  # fmt: skip


def test_it_finds_the_director_through_the_graph_and_not_without_it() -> None:
    interactions, knowledge, director, fan = directors_and_fans()
    told = KGCL(**PLANTED).fit(interactions, knowledge, progress=False)
    untold = KGCL(**PLANTED).fit(interactions, shuffled(knowledge), progress=False)
    assert unseen_share(told, director, fan) > 0.8  # by chance: 0.03
    assert unseen_share(untold, director, fan) < 0.4


def test_items_without_an_entity_and_graphs_of_few_triples_are_no_obstacle() -> None:
    interactions, knowledge = tiny()
    for rows in (slice(None), slice(0, 1), slice(5, 6)):  # the last triple touches no item
        graph = replace(knowledge, triples=knowledge.triples[rows])
        scores = KGCL(**SMALL).fit(interactions, graph, progress=False).score(*np.indices((4, 5)).reshape(2, -1))
        assert np.isfinite(scores).all()
