"""KGNN-LS: KGCN whose attention is also trained to predict likes from the likes of neighbours."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from kgplug.recommenders.catalogue import RECOMMENDERS
from kgplug.recommenders.models.kgcn import KGCN, KGCNConfig
from kgplug.training.config import Range, Space


class KGNNLSConfig(KGCNConfig):
    """Settings of KGNN-LS.

    The paper's settings (with `bias=False`, `vector_l2=0`, `resample=False`, and `layer_learning_rate` equal to
    `learning_rate`):

    | set           | neighbours | embedding_dim | n_layers | ls_weight | l2   | learning_rate |
    |---------------|------------|---------------|----------|-----------|------|---------------|
    | MovieLens-20M | 16         | 32            | 1        | 1.0       | 1e-7 | 2e-2          |
    | Book-Crossing | 8          | 64            | 2        | 0.5       | 2e-5 | 2e-4          |
    | Last.FM       | 8          | 16            | 1        | 0.1       | 1e-4 | 5e-4          |
    """

    tuning: ClassVar[Space] = {**KGCNConfig.tuning, "ls_weight": Range(0.1, 1.0, log=True)}

    ls_weight: float = Field(0.5, gt=0, description="weight of the label smoothness loss")
    n_layers: int = Field(
        2,
        ge=1,
        description="number of propagation steps (H); with 1, a label only reaches direct neighbours of its item",
    )
    neighbours: int = Field(4, ge=1, description="number of sampled neighbours per entity (K)")


class KGNNLS(KGCN):
    """KGNN-LS (H. Wang et al., KDD 2019, "Knowledge-aware Graph Neural Networks with Label Smoothness Regularization
    for Recommender Systems").

    The network is that of KGCN. Label smoothness is an additional loss. It hides the label of each pair (like or
    negative), and predicts it from the labels of the user's other items. These labels are propagated over the knowledge
    graph, with the user's attention as weights. The log loss of the prediction is added to the loss (leave-one-out,
    eqs. 8 and 9). So label smoothness trains the attention, not the entity vectors.

    As in the authors' code, each entity has a sample of its neighbours, weighted by softmax attention.
    """

    name = "KGNN-LS"
    inputs = RECOMMENDERS["KGNN-LS"].inputs
    config_class = KGNNLSConfig
    config: KGNNLSConfig  # pyright: ignore[reportIncompatibleVariableOverride]
