"""KGNN-LS: its whole loss and the gradient of it, and what label smoothness teaches the attention."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import kgplug
from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.recommenders.click_through.pairs import ClickThroughData
from kgplug.recommenders.models.kgcn import KGCN, KGCNTask
from kgplug.recommenders.models.kgnn_ls import KGNNLS
from tests.unit.helpers.literal_collaborative import doubles, same_gradients
from tests.unit.helpers.planted import directors_and_fans, shuffled, tiny, unseen_share
from tests.unit.helpers.stirred import stir

pytestmark = pytest.mark.training

SMALL = {"side": False, "embedding_dim": 4, "epochs": 1, "batch_size": 100, "neighbours": 2, "device": "cpu"}


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_the_loss_and_its_gradient_are_those_of_the_equations(n_layers: int) -> None:
    interactions, knowledge = tiny()
    settings = {"n_layers": n_layers, "ls_weight": 0.8, "l2": 0.0, "vector_l2": 0.0, "weight_l2": 0.0, "bias_l2": 0.0}
    model = KGNNLS(**SMALL, **settings).fit(interactions, knowledge, progress=False)
    stir(model.network)
    model.network.zero_grad()
    task = KGCNTask(model, ClickThroughData(interactions, None, seed=0))
    batch = next(iter(task.batches(0, np.random.default_rng(4))))
    w, near = doubles(model.network), batch.neighbours
    likes = interactions.likes()
    label_of = {(u, model.item_entities[i]): 1.0 for u, i in zip(likes.users, likes.items, strict=True)}
    n_entities = len(model.network.entities)
    label_of |= {(code // n_entities, code % n_entities): 0.0 for code in batch.negatives}

    def attention(user: int, entity: int) -> torch.Tensor:
        products = torch.stack([(w["users"][user] * w["relations"][r]).mean() for r in near.relations[entity]])
        return torch.exp(products) / torch.exp(products).sum()

    def vector(user: int, entity: int, layer: int) -> torch.Tensor:
        if layer == 0:
            return w["entities"][entity]
        around = sum(
            a * vector(user, other, layer - 1) / 2
            for a, other in zip(attention(user, entity), near.entities[entity], strict=True)
        )
        x = w[f"layers.{layer - 1}.weight"] @ (vector(user, entity, layer - 1) + around)
        x = x + w[f"layers.{layer - 1}.bias"]
        return torch.tanh(x) if layer == n_layers else torch.relu(x)

    def label(user: int, entity: int, steps: int, hidden: int) -> torch.Tensor | float:
        if entity != hidden and (user, entity) in label_of:
            return label_of[user, entity]
        if steps == 0:
            return 0.5
        return sum(
            a * label(user, other, steps - 1, hidden)
            for a, other in zip(attention(user, entity), near.entities[entity], strict=True)
        )

    expected, pairs = torch.zeros((), dtype=torch.float64), batch.pairs
    for user, item, liked in zip(pairs.users, pairs.items, pairs.labels, strict=True):
        entity = model.item_entities[item]
        logit = w["users"][user] @ vector(user, entity, n_layers) + w["global_bias"][0]
        logit = logit + w["user_bias"][user, 0] + w["item_bias"][item, 0]
        reached = torch.as_tensor(label(user, entity, n_layers, entity)).clamp(1e-6, 1 - 1e-6)
        for p, weight in ((torch.sigmoid(logit), 1.0), (reached, 0.8)):
            expected = expected - weight * torch.log(p if liked else 1 - p) / len(pairs)
    loss = task.loss(batch)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    loss.backward()
    expected.backward()
    assert same_gradients(model.network, w)


def _telling_and_idle(n_users: int = 60, n_items: int = 90) -> tuple[Interactions, KnowledgeGraph]:
    """Items are linked along "telling" to two of their taste, and along "idle" to any two."""
    rng = np.random.default_rng(0)
    taste = np.arange(n_items) % 3
    users = np.repeat(np.arange(n_users), 12)
    items = np.concatenate(
        [rng.choice(np.flatnonzero(taste == user % 3), 12, replace=False) for user in range(n_users)]
    )
    rows = []
    for item in range(n_items):
        rows += [(item, "telling", int(other)) for other in rng.choice(np.flatnonzero(taste == item % 3), 2)]
        rows += [(item, "idle", int(other)) for other in rng.choice(n_items, 2)]
    likes = Interactions.from_arrays(np.arange(n_users), np.arange(n_items).astype(object), users, items)
    return likes, KnowledgeGraph.from_dataframe(pd.DataFrame(rows, columns=["head", "relation", "tail"]))


def test_label_smoothness_turns_the_attention_to_the_relation_that_carries_labels() -> None:
    interactions, knowledge = _telling_and_idle()
    found = []
    for name, more in (("KGCN", {}), ("KGNN-LS", {"ls_weight": 1.0})):
        settings = {
            "side": False, "embedding_dim": 8, "epochs": 30, "batch_size": 256, "n_layers": 1, "neighbours": 4,
            "scaling": "paper", "l2": 1e-4, "vector_l2": 0.0, "device": "cpu", **more,
        }  # fmt: skip
        model = kgplug.create(name, **settings).fit(interactions, knowledge, progress=False)
        with torch.no_grad():
            affinities = model.network.affinities(model.network.users, model.network.relations)
        telling, idle = (knowledge.relations.tolist().index(relation) for relation in ("telling", "idle"))
        found.append(float((affinities[:, telling] - affinities[:, idle]).mean()))
    assert found[1] > found[0] + 0.5


def test_it_finds_the_director_better_through_the_graph() -> None:
    interactions, knowledge, director, fan = directors_and_fans()
    settings = {
        "side": False, "epochs": 40, "batch_size": 512, "embedding_dim": 32, "neighbours": 4, "aggregator": "neighbor",
        "scaling": "paper", "learning_rate": 0.03, "l2": 1e-3, "vector_l2": 2e-2, "bias": False, "device": "cpu",
    }  # fmt: skip
    told, untold = (
        unseen_share(KGNNLS(**settings).fit(interactions, graph, progress=False), director, fan)
        for graph in (knowledge, shuffled(knowledge))
    )
    assert told > 0.5  # by chance: 0.03
    assert untold < 0.2


def test_by_default_labels_are_propagated_and_reach_items_with_a_common_fact() -> None:
    config = KGNNLS().config
    assert config.ls_weight > 0 and config.n_layers == 2
    assert issubclass(KGNNLS, KGCN)
