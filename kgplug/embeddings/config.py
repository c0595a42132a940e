"""Settings of an embedding model."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, JsonValue

from kgplug.embeddings.catalogue import EMBEDDINGS
from kgplug.training.config import LEARNING_RATES, DataSize, ModelConfig, Range, Space, make_config


class EmbeddingConfig(ModelConfig):
    """Settings of a model trained on triples against corrupted triples.

    Defaults are for a graph of some ten thousand entities and a hundred thousand triples;
    `catalogue.EMBEDDINGS` holds those that differ by model. `search_space` adds PyKEEN's ranges to `tuning`.
    """

    tuning: ClassVar[Space] = {
        "embedding_dim": Range(16, 256, step=16),
        "batch_size": (512, 1024, 2048, 4096, 8192),
        "learning_rate": LEARNING_RATES,
        "negatives": Range(1, 32, log=True),
    }

    embedding_dim: int = Field(64, ge=1, description="length of an entity's vector (of its complex numbers, where so)")
    epochs: int = Field(30, ge=1, description="at most so many passes over the triples")
    patience: int = Field(5, ge=1, description="stop after so many epochs without a better validation figure")
    batch_size: int = Field(4096, ge=1, description="true triples a step; unless set, fewer where triples are few")
    learning_rate: float = Field(1e-2, gt=0, description="of Adam")
    negatives: int = Field(4, ge=1, description="corrupted triples for each true one")
    negative_sampling: Literal["uniform", "typed"] = Field(
        "uniform", description="replace an end by any entity, or by one that the relation has at that end"
    )
    loss: str | None = Field(None, description="name of a PyKEEN loss; the model's own by default")
    loss_settings: dict[str, JsonValue] = Field({}, description="settings of that loss")
    model_settings: dict[str, JsonValue] = Field(
        {}, description="settings that only this model has, as PyKEEN names them"
    )
    device: str = Field("auto", description='"auto", "cpu" or "cuda"')

    @classmethod
    def suited_to(cls, size: DataSize) -> dict[str, float]:
        # UMLS (5,216 triples), 30 epochs: validation MRR .05 to .56 (ComplEx), .55 to .82 (RotatE), others as good.
        return cls.small_batches(batch_size=size.n_triples)


def embedding_config(name: str, settings: dict) -> EmbeddingConfig:
    """Return a model's settings: the given ones over the catalogue's over `EmbeddingConfig`'s.

    Raises:
        UsageError: a name is unknown (the nearest is told) or a value is out of its range.
    """
    defaults = EMBEDDINGS[name].defaults
    merged = {**defaults, **settings}
    given = settings.get("model_settings", {})
    if isinstance(given, dict) and "model_settings" in defaults:
        merged["model_settings"] = {**defaults["model_settings"], **given}
    if settings.get("loss") is not None and "loss_settings" not in settings:
        merged.pop("loss_settings", None)  # they are those of the model's own loss
    config = make_config(name, EmbeddingConfig, merged)
    assert isinstance(config, EmbeddingConfig)
    return config
