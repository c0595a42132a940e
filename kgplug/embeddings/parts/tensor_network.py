"""NTN with initial weights that do not saturate its activation."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from pykeen.models import NTN as PyKEENNTN

_N_WEIGHTS = 3  # the first three relation representations are the tensor and the two matrices


class NTN(PyKEENNTN):
    """NTN (Socher et al., NeurIPS 2013) whose tensor and matrices start with a standard deviation of 1 / d.

    PyKEEN 1.11.1 draws entities, tensors and matrices from N(0, 1). Then h W t has a standard deviation of d, tanh is
    saturated, and the model stays at chance (MRR .057 on UMLS).

    Args:
        embedding_dim: Length d of an entity's vector.
        num_slices: Number of slices of the tensor.
        non_linearity, non_linearity_kwargs, entity_initializer, kwargs: As in PyKEEN.
    """

    def __init__(
        self,
        *,
        embedding_dim: int = 100,
        num_slices: int = 4,
        non_linearity: Any = None,
        non_linearity_kwargs: Any = None,
        entity_initializer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            embedding_dim=embedding_dim,
            num_slices=num_slices,
            non_linearity=non_linearity,
            non_linearity_kwargs=non_linearity_kwargs,
            entity_initializer=entity_initializer,
            **kwargs,
        )
        for part in self.relation_representations[:_N_WEIGHTS]:
            part.initializer = partial(torch.nn.init.normal_, std=1 / embedding_dim)  # type: ignore[assignment]
            part.reset_parameters()
