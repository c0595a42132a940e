"""Models whose scores of all entities are one matrix product: a query vector against each entity's vector.

A query asks for the missing end of a triple. Its code is 2r if the tail is missing, (h, r, ?), and 2r + 1 if the head
is, (?, r, t). In a module with inverse relations, 2r and 2r + 1 are also the indices of a relation and its inverse.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from pykeen.models import ComplEx, DistMult, ERModel, RotatE

from kgplug.embeddings.parts.translational import TransE


class QueryForm(NamedTuple):
    """How a model makes a query's vector, and compares it with an entity's.

    Attributes:
        combine: Function of the vectors of the known entity and of the relation: (b, d) each → (b, d).
        invert: Function from a relation's vector to the one that finds heads, for modules without inverse relations.
        by_distance: Whether a score is the negative Euclidean distance; otherwise it is the scalar product.
    """

    combine: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    invert: Callable[[torch.Tensor], torch.Tensor]
    by_distance: bool


_FORMS: dict[type, QueryForm] = {
    ComplEx: QueryForm(torch.mul, torch.conj, by_distance=False),
    DistMult: QueryForm(torch.mul, lambda relation: relation, by_distance=False),
    RotatE: QueryForm(torch.mul, torch.conj, by_distance=True),  # because |r| = 1
    TransE: QueryForm(torch.add, torch.neg, by_distance=True),
}


def query_form(module: ERModel[Any, Any, Any]) -> QueryForm | None:
    """Return the form of a model's queries; None if its scores are not of this form."""
    form = _FORMS.get(type(module))
    if form is not None and form.by_distance:
        interaction: Any = module.interaction
        if interaction.p != 2 or interaction.power_norm:
            return None
    return form


def query_vectors(
    module: ERModel[Any, Any, Any],
    form: QueryForm,
    entities: torch.Tensor,
    codes: torch.Tensor,
    relations: torch.Tensor,
) -> torch.Tensor:
    """Return the vectors of queries, (b, d).

    Args:
        module: The model.
        form: Its `query_form`.
        entities: (b, d), vectors of the known ends.
        codes: int64 (b,), codes of the queries.
        relations: (b, d), vectors of the rows `relation_rows(module, codes)`.
    """
    if not module.use_inverse_triples:
        relations = torch.where((codes % 2 == 1)[:, None], form.invert(relations), relations)
    return form.combine(entities, relations)


def relation_rows(module: ERModel[Any, Any, Any], codes: torch.Tensor) -> torch.Tensor:
    """Return the row of each query's relation in the module's table, int64 (b,)."""
    return codes if module.use_inverse_triples else codes // 2


def real_vectors(vectors: torch.Tensor) -> torch.Tensor:
    """Return vectors (…, d) unchanged if real; complex ones as real (…, 2d), real and imaginary parts alternating."""
    return torch.view_as_real(vectors.resolve_conj()).flatten(-2) if vectors.is_complex() else vectors
