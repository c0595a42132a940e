"""TransE, TransH and TransR, built from PyKEEN's parts: as in their papers, and fast at ranking all entities.

All three score a triple by `−‖s_r(h) + d_r − s_r(t)‖`. d_r is the relation's translation; s_r maps an entity into the
relation's space: to itself (TransE), to its projection on a hyperplane (TransH), or by a matrix (TransR).
"""

from __future__ import annotations

from typing import Any, cast

import torch
from pykeen.models import ERModel
from pykeen.models import TransE as PykeenTransE
from pykeen.models import TransR as PykeenTransR
from pykeen.nn.init import xavier_uniform_norm_
from pykeen.nn.representation import Embedding
from pykeen.utils import clamp_norm, negative_norm
from torch.nn import functional

from kgplug.embeddings.parts.kernels import translation_gradients, translation_scores

SOFT_CONSTRAINT, ORTHOGONAL_WITHIN = 0.05, 1e-5  # weight and ε² of TransH's soft constraints, as in PyKEEN


class Translational(ERModel):
    """Base class of translational models, which scores all entities, or a batch of triples, with little memory.

    All entities are scored by one distance matrix per relation, without a (batch, entities, d) tensor. A batch of
    triples and their corruptions is scored in one pass that fetches each vector once.
    """

    interaction: Any  # PyKEEN's, with p and power_norm
    translation_part = 0

    def space(self, vectors: torch.Tensor, relation: torch.Tensor) -> torch.Tensor:
        """Map entity vectors of length d into the m-dimensional space of a relation: float32 (n, d) → (n, m).

        `relation` is the relation's index, an int64 scalar.
        """
        raise NotImplementedError

    def score_batch(self, triples: torch.Tensor, others: torch.Tensor, n_tails: int) -> torch.Tensor:
        """Score triples and their corruptions.

        Args:
            triples: int64 (b, 3).
            others: int64 (b, k), entities that replace the tail in the first `n_tails` triples, and the head in all
                later triples.
            n_tails: Number of triples whose tail is replaced.

        Returns:
            float32 (b, 1 + k): in each row, the score of the triple itself, then those of its k corruptions.
        """
        raise NotImplementedError

    def score_t(self, hr_batch: torch.Tensor, *, tails: torch.Tensor | None = None, **options: Any) -> torch.Tensor:
        """Score all entities as tails of each (head, relation) pair: int64 (b, 2) → float32 (b, n_entities).

        If `tails` is given, only these entities are scored, one column per tail.
        """
        if tails is not None:
            return super().score_t(hr_batch, tails=tails, **options)
        return self._against_all(hr_batch[:, 0], hr_batch[:, 1], sign=1.0)

    def score_h(self, rt_batch: torch.Tensor, *, heads: torch.Tensor | None = None, **options: Any) -> torch.Tensor:
        """Score all entities as heads of each (relation, tail) pair: int64 (b, 2) → float32 (b, n_entities).

        If `heads` is given, only these entities are scored, one column per head.
        """
        if heads is not None:
            return super().score_h(rt_batch, heads=heads, **options)
        return self._against_all(rt_batch[:, 1], rt_batch[:, 0], sign=-1.0)

    def _against_all(self, entities: torch.Tensor, relations: torch.Tensor, *, sign: float) -> torch.Tensor:
        table = self.entity_representations[0]()  # (n_entities, d)
        part = self.relation_representations[self.translation_part]
        scores = table.new_empty(len(entities), len(table))
        for relation in relations.unique():
            rows = torch.nonzero(relations == relation).flatten()
            mapped = self.space(table, relation)  # (n_entities, m)
            found = self._compared(mapped[entities[rows]] + sign * part(relation[None]), mapped)
            if len(rows) == len(entities):
                return found
            scores[rows] = found
        return scores

    @property
    def _euclidean(self) -> bool:
        return self.interaction.p == 2 and not self.interaction.power_norm

    def _negative_norm(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return the score −‖v‖ of each residual v = h + r − t: float32 (b, 1 + k, d) → (b, 1 + k)."""
        if self._euclidean:
            return cast("torch.Tensor", _NegativeLength.apply(vectors))
        return negative_norm(vectors, p=self.interaction.p, power_norm=self.interaction.power_norm)

    def _compared(self, points: torch.Tensor, mapped: torch.Tensor) -> torch.Tensor:
        """Return minus the distance of each point, (b, m), to each row of `mapped`, (n, m): float32 (b, n)."""
        p = float(self.interaction.p)
        distances = torch.cdist(points, mapped, p=p)
        return (distances.pow_(p) if self.interaction.power_norm else distances).neg_()


class TransE(Translational, PykeenTransE):
    """Bordes et al., NeurIPS 2013: `−‖h + r − t‖`, entities on the unit sphere.

    The default is the L2 norm (PyKEEN: L1). On the unit sphere, the nearest entities by the L2 norm are also the
    nearest by cosine.
    """

    def __init__(self, *, scoring_fct_norm: int = 2, **kwargs: Any) -> None:
        super().__init__(scoring_fct_norm=scoring_fct_norm, **kwargs)

    def score_batch(self, triples: torch.Tensor, others: torch.Tensor, n_tails: int) -> torch.Tensor:
        if self._by_compiled_loops(triples):
            tables = [weight_of(part[0]) for part in (self.entity_representations, self.relation_representations)]
            return cast("torch.Tensor", _Translations.apply(*tables, triples, others, n_tails))
        residuals = _residuals(self.entity_representations[0], triples, others, n_tails)  # (b, 1 + k, d)
        return self._negative_norm(residuals + self.relation_representations[0](triples[:, 1])[:, None])

    def _by_compiled_loops(self, triples: torch.Tensor) -> bool:
        parts = (*self.entity_representations, *self.relation_representations)
        return self._euclidean and triples.device.type == "cpu" and all(map(is_plain, parts))

    def _against_all(self, entities: torch.Tensor, relations: torch.Tensor, *, sign: float) -> torch.Tensor:
        table = self.entity_representations[0]()  # (n_entities, d), the same for every relation
        return self._compared(table[entities] + sign * self.relation_representations[0](relations), table)


class TransH(Translational):
    """Wang et al., AAAI 2014: `−‖(h − wᵀh w) + d − (t − wᵀt w)‖`, ‖w‖ = 1.

    A relation has two vectors, in this order: the normal w of its hyperplane, and the translation d. (PyKEEN 1.11 mixes
    up the two.) The penalties for the paper's soft constraints (entity vectors have a norm of at most 1, w ⊥ d) are
    averaged over entities and over relations. If they were added up, they would dominate the loss, which is a mean.
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

    def space(self, vectors: torch.Tensor, relation: torch.Tensor) -> torch.Tensor:
        normal = self.relation_representations[0](relation[None])[0]  # (d,)
        return vectors - (vectors @ normal)[:, None] * normal

    def score_batch(self, triples: torch.Tensor, others: torch.Tensor, n_tails: int) -> torch.Tensor:
        residuals = _residuals(self.entity_representations[0], triples, others, n_tails)  # (b, 1 + k, d)
        normal, translation = (part(triples[:, 1])[:, None] for part in self.relation_representations)  # (b, 1, d)
        along = (residuals * normal).sum(dim=-1, keepdim=True)  # (b, 1 + k, 1)
        return self._negative_norm(torch.addcmul(residuals + translation, along, normal, value=-1))

    def score_hrt(self, hrt_batch: torch.Tensor, **_: Any) -> torch.Tensor:
        """Score triples: int64 (b, 3) → float32 (b, 1)."""
        return self.score_batch(hrt_batch, hrt_batch[:, :0], len(hrt_batch))

    def collect_regularization_term(self) -> torch.Tensor:
        """Return the penalty of the paper's soft constraints (eq. 4, 5), averaged over entities and over relations."""
        entities = weight_of(self.entity_representations[0])
        normal, translation = (weight_of(part) for part in self.relation_representations)
        too_long = (entities.square().sum(dim=-1) - 1).relu().mean()
        cosine = functional.cosine_similarity(normal, translation, dim=-1)
        return SOFT_CONSTRAINT * (too_long + (cosine.square() - ORTHOGONAL_WITHIN).relu().mean())


class TransR(Translational, PykeenTransR):
    """Lin et al., AAAI 2015: `−‖h M_r + r − t M_r‖`, all vectors of norm at most 1.

    As in the paper, the matrices start as the identity. All triples of a relation are multiplied by its matrix at once,
    whereas PyKEEN copies the matrix for every triple. The default of `scoring_fct_norm` is 2, because PyKEEN also uses
    this norm to limit the vectors, and the paper limits their L2 norm.
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
        return self._clamped(vectors @ self.relation_representations[1](relation[None])[0])

    def _clamped(self, vectors: torch.Tensor) -> torch.Tensor:
        return clamp_norm(vectors, maxnorm=self.interaction.max_projection_norm, p=self.interaction.p, dim=-1)

    def score_batch(self, triples: torch.Tensor, others: torch.Tensor, n_tails: int) -> torch.Tensor:
        b, k = others.shape
        entities = torch.cat([triples[:, 0], triples[:, 2], others.flatten()])
        relations = torch.cat([triples[:, 1], triples[:, 1], triples[:, 1].repeat_interleave(k)])
        heads, tails, rest = self._project(entities, relations).split([b, b, b * k])  # (…, m) each
        residuals = _differences(heads, tails, rest.view(b, k, rest.shape[1]), n_tails)  # (b, 1 + k, m)
        return self._negative_norm(residuals + self.relation_representations[0](triples[:, 1])[:, None])

    def _project(self, entities: torch.Tensor, relations: torch.Tensor) -> torch.Tensor:
        """Multiply each entity's vector by the matrix of its relation: int64 (n,) each → float32 (n, m)."""
        order = torch.argsort(relations, stable=True)
        present, counts = torch.unique_consecutive(relations[order], return_counts=True)
        vectors = self.entity_representations[0](entities[order]).split(counts.tolist())
        matrices = self.relation_representations[1](present).unbind(0)
        images = torch.cat([part @ matrix for part, matrix in zip(vectors, matrices, strict=True)])
        back = torch.empty_like(order)
        back[order] = torch.arange(len(order), device=order.device)
        return self._clamped(images).index_select(0, back)

    def score_hrt(self, hrt_batch: torch.Tensor, **_: Any) -> torch.Tensor:
        """Score triples: int64 (b, 3) → float32 (b, 1)."""
        return self.score_batch(hrt_batch, hrt_batch[:, :0], len(hrt_batch))


class _NegativeLength(torch.autograd.Function):
    """−‖v‖ over the last dimension. The gradient takes one pass (torch's own takes five) and is 0 if v is 0."""

    @staticmethod
    def forward(ctx: Any, vectors: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        lengths = torch.linalg.vector_norm(vectors, dim=-1)
        ctx.save_for_backward(vectors, lengths)
        return -lengths

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        vectors, lengths = ctx.saved_tensors
        return vectors * (-grad / lengths).masked_fill_(lengths == 0, 0)[..., None]


class _Translations(torch.autograd.Function):
    """The scores −‖h + r − t‖ of b triples and of k corruptions of each, float32 (b, 1 + k), on a CPU.

    They are computed by compiled loops, which do not copy vectors and add gradients in place.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, entities: torch.Tensor, relations: torch.Tensor, triples: torch.Tensor, others: torch.Tensor, n: int
    ) -> torch.Tensor:
        e, r, hrt, o = (tensor.detach().numpy() for tensor in (entities, relations, triples, others))
        ctx.given, ctx.n_tails, ctx.scores = (e, r, hrt, o), n, translation_scores(e, r, hrt, o, n)
        return torch.from_numpy(ctx.scores)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:  # type: ignore[override]
        entities, relations, triples, others = ctx.given
        found = translation_gradients(
            entities, relations, triples, others, ctx.n_tails, ctx.scores, grad.contiguous().numpy()
        )
        return *(torch.from_numpy(gradient) for gradient in found), None, None, None


def weight_of(table: Any) -> torch.Tensor:
    """Return the weights of a PyKEEN `Embedding`, (n, d)."""
    return table._embeddings.weight


def is_plain(part: Any) -> bool:
    """Return whether a part of a PyKEEN model is a table of real numbers without dropout, normaliser or regulariser."""
    return type(part) is Embedding and not (part.is_complex or part.dropout or part.normalizer or part.regularizer)


def _residuals(entity: Any, triples: torch.Tensor, others: torch.Tensor, n_tails: int) -> torch.Tensor:
    """Return head − tail of each triple and of its corruptions, (b, 1 + k, d), with one look-up of all vectors.

    Arguments are those of `Translational.score_batch`; `entity` is the entity table.
    """
    b, k = others.shape
    vectors = entity(torch.cat([triples[:, 0], triples[:, 2], others.flatten()]))
    heads, tails, rest = vectors.split([b, b, b * k])
    return _differences(heads, tails, rest.view(b, k, rest.shape[1]), n_tails)


def _differences(heads: torch.Tensor, tails: torch.Tensor, others: torch.Tensor, n_tails: int) -> torch.Tensor:
    """Return head − tail of each triple and of its corruptions, (b, 1 + k, d).

    Args:
        heads, tails: (b, d), vectors of the triples' ends.
        others: (b, k, d), vectors that replace the tail in the first `n_tails` triples, and the head in all later ones.
        n_tails: Number of triples whose tail is replaced.
    """
    corrupted = torch.cat([heads[:n_tails, None] - others[:n_tails], others[n_tails:] - tails[n_tails:, None]])
    return torch.cat([(heads - tails)[:, None], corrupted], dim=1)  # (b, 1 + k, d)


def _identity(tensor: torch.Tensor) -> torch.Tensor:
    """Return n identity matrices, cut or padded with zeros to the shape (n, d, m) of a tensor."""
    return torch.eye(*tensor.shape[1:], dtype=tensor.dtype).expand_as(tensor).clone()
