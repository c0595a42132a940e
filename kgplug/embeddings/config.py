"""Settings of an embedding model."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, JsonValue

from kgplug.embeddings.catalogue import EMBEDDINGS
from kgplug.training.config import LEARNING_RATES, DataSize, ModelConfig, Range, Space, make_config


class EmbeddingConfig(ModelConfig):
    """Settings of a model trained on true and corrupted triples.

    Defaults suit a graph of ten thousand entities and a hundred thousand triples. Models that need other defaults have
    them in `catalogue.EMBEDDINGS`.
    """

    tuning: ClassVar[Space] = {
        "embedding_dim": Range(16, 256, step=16),
        "batch_size": (512, 1024, 2048, 4096, 8192),
        "learning_rate": LEARNING_RATES,
        "negatives": Range(1, 32, log=True),
    }

    embedding_dim: int = Field(
        64, ge=1, description="length of an entity's vector (for complex models, in complex numbers)"
    )
    epochs: int = Field(30, ge=1, description="maximum number of epochs")
    patience: int = Field(5, ge=1, description="stop after this many epochs without a better validation metric")
    batch_size: int = Field(4096, ge=1, description="true triples per step; if not set, lower on small graphs")
    learning_rate: float = Field(1e-2, gt=0, description="learning rate of Adam")
    negatives: int = Field(4, ge=1, description="corrupted triples per true triple")
    negative_sampling: Literal["uniform", "typed"] = Field(
        "uniform",
        description='"uniform": corrupt a triple by any entity; "typed": by an entity seen at that end of the relation',
    )
    loss: str | None = Field(None, description="name of a PyKEEN loss; by default, the model's own")
    loss_settings: dict[str, JsonValue] = Field({}, description="settings of that loss")
    model_settings: dict[str, JsonValue] = Field(
        {}, description="settings that only this model has, under PyKEEN's names"
    )
    device: str = Field("auto", description='"auto", "cpu" or "cuda"')

    @classmethod
    def suited_to(cls, size: DataSize) -> dict[str, float]:
        # On UMLS (5,216 triples, 30 epochs), smaller batches raise the validation MRR from .05 to .56 (ComplEx) and
        # from .55 to .82 (RotatE). The MRR of other models stays the same.
        return cls.small_batches(batch_size=size.n_triples)


def embedding_config(name: str, settings: dict[str, Any]) -> EmbeddingConfig:
    """Return all settings of a model.

    A setting that is not given has the default of the catalogue, or that of `EmbeddingConfig` if the catalogue has
    none.

    Raises:
        UsageError: a setting is unknown (the message suggests the nearest), or its value is out of range.
    """
    defaults = EMBEDDINGS[name].defaults
    merged = {**defaults, **settings}
    given = settings.get("model_settings", {})
    if isinstance(given, dict) and "model_settings" in defaults:
        merged["model_settings"] = {**defaults["model_settings"], **given}
    if settings.get("loss") is not None and "loss_settings" not in settings:
        merged.pop("loss_settings", None)  # the catalogue's are for the default loss
    config = make_config(name, EmbeddingConfig, merged)
    assert isinstance(config, EmbeddingConfig)
    return config
