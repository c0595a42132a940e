"""The collaborative knowledge graph, one triple at a time: what tests of KGAT, KGIN, KGCL and CFKG compare with."""

from __future__ import annotations

import torch
from torch import nn

from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph

Triple = tuple[int, int, int]


def literal_triples(interactions: Interactions, knowledge: KnowledgeGraph) -> tuple[list[Triple], list[Triple]]:
    """Return likes and facts as (head node, relation, tail node): users come first, then items, then other entities.

    A like has the relation after those of the graph.
    """
    nodes = {key: interactions.n_users + number for number, key in enumerate(interactions.item_keys.tolist())}
    for key in knowledge.entity_keys.tolist():
        nodes.setdefault(key, interactions.n_users + len(nodes))
    likes = interactions.likes()
    liked = [
        (int(user), knowledge.n_relations, interactions.n_users + int(item))
        for user, item in zip(likes.users, likes.items, strict=True)
    ]
    keys = knowledge.entity_keys
    return liked, [(nodes[keys[head]], int(relation), nodes[keys[tail]]) for head, relation, tail in knowledge.triples]


def doubles(module: nn.Module) -> dict[str, torch.Tensor]:
    """Return copies of all parameters in double precision, which collect gradients."""
    return {name: p.detach().double().clone().requires_grad_() for name, p in module.named_parameters()}


def same_gradients(module: nn.Module, literal: dict[str, torch.Tensor]) -> bool:
    """Return whether both have the same gradients to 1e-5; a parameter without a gradient has one of zero."""
    found = {}
    for name, parameter in module.named_parameters():
        grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        found[name] = grad.to_dense().double() if grad.is_sparse else grad.double()
    expected = {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in literal.items()}
    return found.keys() == expected.keys() and all(
        torch.allclose(found[name], expected[name], atol=1e-5, rtol=1e-4) for name in found
    )
