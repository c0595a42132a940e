"""Settings of an embedding model."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, JsonValue

from kgplug.embeddings.catalogue import EMBEDDINGS
from kgplug.errors import UsageError
from kgplug.training.config import LEARNING_RATES, DataSize, ModelConfig, Range, Space, make_config

MOST_QUERIES = 512  # default of `batch_size` if all entities are scored
OF_NEGATIVES = ("negatives", "negative_sampling", "loss", "loss_settings")
OF_ALL_ENTITIES = ("temperature", "label_smoothing", "l2", "n3", "entity_dropout", "relation_dropout")


class EmbeddingConfig(ModelConfig):
    """Settings of an embedding model.

    Defaults suit a graph of ten thousand entities and a hundred thousand triples. Models that need other defaults have
    them in `catalogue.EMBEDDINGS`. The settings in `OF_NEGATIVES` belong to training="negatives", those in
    `OF_ALL_ENTITIES` to the other two values. `kgplug tune` searches PyKEEN's ranges and those in `tuning` or, if all
    entities are scored, in `tuning_against_all`.
    """

    tuning: ClassVar[Space] = {
        "embedding_dim": Range(16, 256, step=16),
        "batch_size": (512, 1024, 2048, 4096, 8192),
        "learning_rate": LEARNING_RATES,
        "negatives": Range(1, 32, log=True),
    }
    tuning_against_all: ClassVar[Space] = {
        "embedding_dim": Range(16, 256, step=16),
        "batch_size": (128, 256, 512, 1024),
        "learning_rate": LEARNING_RATES,
        "n3": Range(1e-3, 5e-1, log=True),
        "label_smoothing": Range(0.0, 0.3),
        "entity_dropout": Range(0.0, 0.5),
    }

    embedding_dim: int = Field(
        64, ge=1, description="length of an entity's vector (for complex models, in complex numbers)"
    )
    epochs: int = Field(30, ge=1, description="maximum number of epochs")
    patience: int = Field(5, ge=1, description="stop after this many epochs without a better validation metric")
    batch_size: int = Field(
        4096,
        ge=1,
        description="true triples per step, or queries if all entities are scored; if not set, lower on small graphs",
    )
    learning_rate: float = Field(1e-2, gt=0, description="learning rate of the optimizer")
    optimizer: Literal["adam", "adagrad"] = Field("adam", description="how gradients change the weights")
    training: Literal["negatives", "1-vs-all", "kvsall"] = Field(
        "negatives",
        description='"negatives": compare true triples with corrupted ones; "1-vs-all" and "kvsall": compare the '
        "answers to a query, such as the tails of a head and a relation, with all entities, each triple "
        '("1-vs-all") or each query ("kvsall") having the same weight',
    )
    reciprocal: bool = Field(
        False, description="learn a second vector per relation, for its inverse, and find heads as tails of the inverse"
    )
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
    temperature: float = Field(1.0, gt=0, description="scores are divided by this before the softmax")
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="share of a query's target that is spread over all entities"
    )
    l2: float = Field(
        0.0, ge=0, description="weight of the squared norms of each triple's vectors (Frobenius regularisation)"
    )
    n3: float = Field(0.0, ge=0, description="weight of the cubed absolute values of each triple's vectors")
    entity_dropout: float = Field(0.0, ge=0, lt=1, description="share of the numbers in entity vectors set to 0")
    relation_dropout: float = Field(0.0, ge=0, lt=1, description="share of the numbers in relation vectors set to 0")
    device: str = Field("auto", description='"auto", "cpu" or "cuda"')

    @classmethod
    def of_saved(cls, settings: dict[str, Any]) -> dict[str, Any]:
        """Return the settings of a saved run. Settings that did not exist then have the defaults of this class.

        So a default that the catalogue has got since does not change the model.
        """
        defaults = {name: field.get_default(call_default_factory=True) for name, field in cls.model_fields.items()}
        return {**defaults, **super().of_saved(settings)}

    @classmethod
    def suited_to(cls, size: DataSize) -> dict[str, float]:
        # On UMLS (5,216 triples, 30 epochs), smaller batches raise the validation MRR from .05 to .56 (ComplEx) and
        # from .55 to .82 (RotatE). The MRR of other models stays the same.
        return cls.small_batches(batch_size=size.n_triples)

    def suited(self, size: DataSize) -> Self:
        found = super().suited(size)
        if self.training == "negatives" or "batch_size" in self.model_fields_set:
            return found
        return found.model_copy(update={"batch_size": min(found.batch_size, MOST_QUERIES)})


def embedding_config(name: str, settings: dict[str, Any]) -> EmbeddingConfig:
    """Return all settings of a model.

    A setting that is not given has the default of the catalogue, or that of `EmbeddingConfig` if the catalogue has
    none.

    If `training` is not given, it is "negatives" if a setting in `OF_NEGATIVES` is, and otherwise the catalogue's.

    Raises:
        UsageError: a setting is unknown (the message suggests the nearest), its value is out of range, or two settings
            do not fit together.
    """
    entry = EMBEDDINGS[name]
    by_negatives = any(settings.get(setting) not in (None, {}) for setting in OF_NEGATIVES)
    training = settings.get("training", "negatives" if by_negatives else entry.training)
    defaults = entry.defaults if training == "negatives" else entry.against_all
    merged = {**defaults, "training": training, **settings}
    given = settings.get("model_settings", {})
    if isinstance(given, dict) and "model_settings" in defaults:
        merged["model_settings"] = {**defaults["model_settings"], **given}
    if settings.get("loss") is not None and "loss_settings" not in settings:
        merged.pop("loss_settings", None)  # the catalogue's are for the default loss
    config = make_config(name, EmbeddingConfig, merged)
    assert isinstance(config, EmbeddingConfig)
    _check_training(name, config)
    return config


def _check_training(name: str, config: EmbeddingConfig) -> None:
    """Raise UsageError if settings do not fit the kind of training, or the model does not.

    A setting that has its default value always fits.
    """
    by_negatives, entry = config.training == "negatives", EMBEDDINGS[name]
    for setting in OF_ALL_ENTITIES if by_negatives else OF_NEGATIVES:
        value = getattr(config, setting)
        if value != EmbeddingConfig.model_fields[setting].default:
            fitting = '"1-vs-all" or "kvsall"' if by_negatives else '"negatives"'
            raise UsageError(
                f'{name}: {setting}={value!r} has no effect with training="{config.training}". '
                f"Omit it, or set training to {fitting}."
            )
    if not by_negatives and not entry.one_product:
        able = ", ".join(sorted(name for name, other in EMBEDDINGS.items() if other.one_product))
        raise UsageError(
            f'{name} cannot score all entities by one matrix product, which training="{config.training}" needs; '
            f'{able} can. Choose one of these, or training="negatives".'
        )
    if config.reciprocal and entry.reads_graph and not entry.inverse:
        raise UsageError(f"{name} passes messages along the triples in both directions already. Omit reciprocal.")
