"""The DGL graph and the torch graph are the same graph."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from kgplug.errors import UsageError
from kgplug.recommenders.parts.entity_graph import EntityGraph
from kgplug.recommenders.parts.open_graph import open_graph
from tests.unit.helpers.needs_dgl import NEEDS_DGL

pytestmark = pytest.mark.training

N_USERS, N_ENTITIES, N_RELATIONS = 5, 40, 3


def random_graph(backend: str) -> EntityGraph:
    rng = np.random.default_rng(0)
    ends = rng.integers(0, N_ENTITIES - 3, (60, 2))  # the last three entities stay without triples
    triples = np.stack([ends[:, 0], rng.integers(0, N_RELATIONS, 60), ends[:, 1]], axis=1)
    likes = rng.integers(0, N_USERS, 12), rng.integers(0, N_ENTITIES, 12)
    sizes = {"n_users": N_USERS, "n_entities": N_ENTITIES, "n_relations": N_RELATIONS}
    return open_graph(backend, torch.device("cpu"), triples, likes, **sizes)


def both() -> tuple[EntityGraph, EntityGraph]:
    return random_graph("dgl"), random_graph("torch")


def empty_graph(backend: str, device: str = "cpu") -> EntityGraph:
    none, triples = np.empty(0, dtype=np.int64), np.empty((0, 3), dtype=np.int64)
    return open_graph(backend, torch.device(device), triples, (none, none), n_users=1, n_entities=1, n_relations=1)


@NEEDS_DGL
def test_dgl_is_the_default_on_the_cpu():
    assert type(empty_graph("auto")).__name__ == "DglSampledGraph"


def test_without_dgl_torch_is_the_default(monkeypatch):
    monkeypatch.setitem(sys.modules, "dgl", None)  # as on a machine where it is not installed
    assert type(empty_graph("auto")) is EntityGraph


@NEEDS_DGL
def test_both_draw_the_same_neighbours():
    dgl_graph, torch_graph = both()
    for k in (1, 3, 8):
        left, right = (graph.sample(k, np.random.default_rng(7)) for graph in (dgl_graph, torch_graph))
        assert (left.entities == right.entities).all()
        assert (left.relations == right.relations).all()


@NEEDS_DGL
def test_both_sum_the_same_messages_and_gradients():
    rng = torch.Generator().manual_seed(0)
    start, weights = torch.randn(9, 4, generator=rng), torch.rand(6, 3, generator=rng)
    places = torch.randint(0, 9, (6, 3), generator=rng)
    results = []
    for graph in both():
        x, w = start.clone().requires_grad_(), weights.clone().requires_grad_()
        summed = graph.weighted_sum(x, places, w)
        summed.square().sum().backward()
        results.append((summed, x.grad, w.grad))
    expected = torch.stack([sum(weights[n, k] * start[places[n, k]] for k in range(3)) for n in range(6)])
    torch.testing.assert_close(results[0][0], expected, atol=1e-5, rtol=1e-5)
    for left, right in zip(*results, strict=True):
        torch.testing.assert_close(left, right, atol=1e-5, rtol=1e-5)


@NEEDS_DGL
def test_both_know_who_liked_what():
    dgl_graph, torch_graph = both()
    users, entities = (array.reshape(-1) for array in np.meshgrid(np.arange(N_USERS), np.arange(N_ENTITIES)))
    known = set(zip(*(array.tolist() for array in torch_graph.likes), strict=True))
    expected = [pair in known for pair in zip(users.tolist(), entities.tolist(), strict=True)]
    assert dgl_graph.liked(users, entities).tolist() == expected
    assert torch_graph.liked(users, entities).tolist() == expected


def test_neighbours_follow_edges_both_ways_and_repeat_only_where_there_are_too_few():
    graph = random_graph("torch")
    edges = {(int(e), int(n), int(r)) for n, r, e in graph.edges}
    assert {(n, e, r) for e, n, r in edges} == edges
    drawn = graph.sample(4, np.random.default_rng(0))
    for entity in range(N_ENTITIES):
        around = list(zip(drawn.entities[entity].tolist(), drawn.relations[entity].tolist(), strict=True))
        own = [edge for edge in edges if edge[0] == entity]
        if not own:
            assert around == [(entity, N_RELATIONS)] * 4
            continue
        assert all((entity, *pair) in edges for pair in around)
        if len(own) >= 4:
            assert len(set(around)) == 4


def test_every_neighbour_has_the_same_chance():
    triples = np.array([[0, 0, tail] for tail in range(1, 7)])
    none = np.empty(0, dtype=np.int64)
    graph = open_graph("torch", torch.device("cpu"), triples, (none, none), n_users=1, n_entities=7, n_relations=1)
    rng = np.random.default_rng(0)
    counts = np.bincount(np.concatenate([graph.sample(3, rng).entities[0] for _ in range(4000)]), minlength=7)
    assert np.abs(counts[1:] / 2000 - 1).max() < 0.08


@NEEDS_DGL
def test_dgl_on_another_device_is_refused_in_one_sentence():
    with pytest.raises(UsageError, match='backend="dgl" needs DGL and the CPU; found device="meta"'):
        empty_graph("dgl", device="meta")


def test_dgl_that_is_not_installed_is_refused_in_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "dgl", None)
    with pytest.raises(UsageError, match='backend="dgl" needs DGL and the CPU; found no DGL'):
        empty_graph("dgl")
