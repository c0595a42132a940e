"""TransE, TransH and TransR on PyKEEN's parts: wired right, and fast where all entities are ranked.

All three measure `‖s_r(h) + d_r − s_r(t)‖`: a translation d_r between entities seen in the space
s_r of the relation (the entity itself, its projection on a hyperplane, its image under a matrix).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from pykeen.models import ERModel
from pykeen.models import TransE as PykeenTransE
from pykeen.models import TransH as PykeenTransH
from pykeen.models import TransR as PykeenTransR
from pykeen.nn.init import xavier_uniform_norm_
from pykeen.utils import clamp_norm, negative_norm_of_sum
from torch.nn import functional


class RanksAllEntities(ERModel):
    """Scores against all entities by one distance matrix a relation, without a (batch, entities, d) tensor."""

    interaction: Any  # PyKEEN's, with p and power_norm
    translation_part = 0

    def space(self, vectors: torch.Tensor, relation: torch.Tensor) -> torch.Tensor:
        """Return entity vectors float32 (n, d) as the relation sees them, (n, k)."""
        raise NotImplementedError

    def score_t(self, hr_batch: torch.Tensor, *, tails: torch.Tensor | None = None, **options: Any) -> torch.Tensor:
        """Score (head, relation) pairs int64 (b, 2) with every entity as tail: float32 (b, n_entities)."""
        if tails is not None:
            return super().score_t(hr_batch, tails=tails, **options)
        return self._against_all(hr_batch[:, 0], hr_batch[:, 1], sign=1.0)

    def score_h(self, rt_batch: torch.Tensor, *, heads: torch.Tensor | None = None, **options: Any) -> torch.Tensor:
        """Score (relation, tail) pairs int64 (b, 2) with every entity as head: float32 (b, n_entities)."""
        if heads is not None:
            return super().score_h(rt_batch, heads=heads, **options)
        return self._against_all(rt_batch[:, 1], rt_batch[:, 0], sign=-1.0)

    def _against_all(self, entities: torch.Tensor, relations: torch.Tensor, *, sign: float) -> torch.Tensor:
        table = self.entity_representations[0]()  # (n_entities, d)
        part = self.relation_representations[self.translation_part]
        scores = table.new_empty(len(entities), len(table))
        for relation in relations.unique():
            rows = torch.nonzero(relations == relation).flatten()
            seen = self.space(table, relation)  # (n_entities, k)
            found = self._compared(seen[entities[rows]] + sign * part(relation[None]), seen)
            if len(rows) == len(entities):
                return found
            scores[rows] = found
        return scores

    def _compared(self, points: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """Return negative distances of points (b, k) and entities (n_entities, k): float32 (b, n_entities)."""
        p = float(self.interaction.p)
        distances = torch.cdist(points, seen, p=p)
        return (distances.pow_(p) if self.interaction.power_norm else distances).neg_()


class TransE(RanksAllEntities, PykeenTransE):
    """Bordes et al., NeurIPS 2013: `−‖h + r − t‖`, entities on the unit sphere.

    The norm is the second by default (PyKEEN: the first): cosine and Euclidean neighbours then agree with what
    was learnt, and graph databases that score TransE use it.
    """

    def __init__(self, *, scoring_fct_norm: int = 2, **kwargs: Any) -> None:
        super().__init__(scoring_fct_norm=scoring_fct_norm, **kwargs)

    def _against_all(self, entities: torch.Tensor, relations: torch.Tensor, *, sign: float) -> torch.Tensor:
        table = self.entity_representations[0]()  # (n_entities, d), the same for every relation
        return self._compared(table[entities] + sign * self.relation_representations[0](relations), table)


class TransH(RanksAllEntities):
    """Wang et al., AAAI 2014: `−‖(h − wᵀh w) + d − (t − wᵀt w)‖`, ‖w‖ = 1.

    PyKEEN 1.11's own class hands its interaction (translation, normal) where (normal, translation)
    is expected. Here the relation tensors are the normal w and the translation d, in this order;
    soft constraints (‖e‖ ≤ 1 for all entities, w ⊥ d) have PyKEEN's weights, but as means: as sums they
    drown the loss, which is a mean.
    """

    translation_part = 1

    def __init__(
        self, *, embedding_dim: int = 50, scoring_fct_norm: int = 2, power_norm: bool = False, **kwargs: Any
    ) -> None:
        relation = {"shape": embedding_dim, "initializer": xavier_uniform_norm_}
        super().__init__(
            interaction="TransH",
            interaction_kwargs={"p": scoring_fct_norm, "power_norm": power_norm},
            entity_representations_kwargs={"shape": embedding_dim, "initializer": xavier_uniform_norm_},
            relation_representations_kwargs=[{**relation, "constrainer": functional.normalize}, relation],
            **kwargs,
        )
        self._constrain_softly(
            [self.entity_representations[0]],
            PykeenTransH.regularizer_default,
            PykeenTransH.regularizer_default_kwargs,
        )
        self._constrain_softly(
            self.relation_representations,
            PykeenTransH.relation_regularizer_default,
            PykeenTransH.relation_regularizer_default_kwargs,
        )

    def _constrain_softly(self, parts: Sequence[Any], regularizer: Any, settings: Any) -> None:
        """Add a regulariser of PyKEEN's, its sum over the rows of `parts` made a mean as the loss is one."""
        self.append_weight_regularizer(
            itertools.chain.from_iterable(part.parameters() for part in parts),
            regularizer,
            {**settings, "weight": settings["weight"] / parts[0].max_id},
        )

    def space(self, vectors: torch.Tensor, relation: torch.Tensor) -> torch.Tensor:
        normal = self.relation_representations[0](relation[None])[0]  # (d,)
        return vectors - (vectors @ normal)[:, None] * normal

    def score_hrt(self, hrt_batch: torch.Tensor, **_: Any) -> torch.Tensor:
        """Score triples int64 (b, 3), projecting h − t once where PyKEEN projects both: float32 (b, 1)."""
        head, relation, tail = hrt_batch.T
        normal, translation = (part(relation) for part in self.relation_representations)  # (b, d) each
        apart = self.entity_representations[0](head) - self.entity_representations[0](tail)
        along = (apart * normal).sum(dim=-1, keepdim=True)  # (b, 1)
        return negative_norm_of_sum(
            apart - along * normal, translation, p=self.interaction.p, power_norm=self.interaction.power_norm
        )[:, None]


class TransR(RanksAllEntities, PykeenTransR):
    """Lin et al., AAAI 2015: `−‖h M_r + r − t M_r‖`, all vectors of norm at most 1.

    As in the paper the matrices start from the identity. PyKEEN gathers a (d, k) matrix for every triple;
    here the triples of one relation share one product. In PyKEEN `scoring_fct_norm` also clamps the vectors,
    so it is 2 here, the paper's norm.
    """

    def __init__(
        self, *, embedding_dim: int = 50, relation_dim: int | None = None, scoring_fct_norm: int = 2, **kwargs: Any
    ) -> None:
        options = {"entity_initializer": xavier_uniform_norm_, "relation_projection_initializer": _identity, **kwargs}
        super().__init__(
            embedding_dim=embedding_dim,
            relation_dim=relation_dim or embedding_dim,
            scoring_fct_norm=scoring_fct_norm,
            **options,
        )

    def space(self, vectors: torch.Tensor, relation: torch.Tensor) -> torch.Tensor:
        return self._projected(vectors, self.relation_representations[1](relation[None])[0])

    def _projected(self, vectors: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
        return clamp_norm(
            vectors @ matrix, maxnorm=self.interaction.max_projection_norm, p=self.interaction.p, dim=-1
        )  # (n, k)

    def score_hrt(self, hrt_batch: torch.Tensor, **_: Any) -> torch.Tensor:
        """Score triples int64 (b, 3): float32 (b, 1)."""
        order = torch.argsort(hrt_batch[:, 1], stable=True)
        head, relation, tail = hrt_batch[order].T
        present, counts = torch.unique_consecutive(relation, return_counts=True)
        matrices, sizes = self.relation_representations[1](present).unbind(0), counts.tolist()
        entity = self.entity_representations[0]
        heads, tails = (
            torch.cat([self._projected(x, m) for x, m in zip(entity(ids).split(sizes), matrices, strict=True)])
            for ids in (head, tail)
        )  # (b, k) each
        translation = self.relation_representations[0](relation)
        scores = negative_norm_of_sum(
            heads, translation, -tails, p=self.interaction.p, power_norm=self.interaction.power_norm
        )
        return torch.empty_like(scores).index_copy(0, order, scores)[:, None]


def _identity(tensor: torch.Tensor) -> torch.Tensor:
    """Fill (n, d, k) with n identity matrices, cut to shape."""
    return torch.eye(*tensor.shape[1:], dtype=tensor.dtype).expand_as(tensor).clone()
