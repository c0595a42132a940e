"""Base classes of all models' settings."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kgplug.errors import UsageError, unknown_name


@dataclass(frozen=True)
class Range:
    """Values that a search may try, from `low` to `high` inclusive; whole numbers if both ends are whole.

    Attributes:
        log: Sample the logarithm uniformly.
        step: Try only low, low + step, low + 2 step, …; None: any value.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)


@dataclass(frozen=True)
class DataSize:
    """Size of the training set."""

    n_users: int = 0
    n_items: int = 0
    n_likes: int = 0
    n_triples: int = 0

    @property
    def likes_per_user(self) -> float:
        """Mean number of likes per user. Below ten, the data are sparse, and models need more L2 regularisation."""
        return self.n_likes / max(self.n_users, 1)

    @property
    def is_sparse(self) -> bool:
        return self.likes_per_user < SPARSE_BELOW

    @property
    def has_few_likes(self) -> bool:
        """Whether an epoch has so few likes that vectors overfit before the other weights have learnt."""
        return self.n_likes < FEW_LIKES

    @property
    def has_very_few_likes(self) -> bool:
        """Whether an epoch has so few likes that, with default batch sizes, a model hardly learns in one epoch."""
        return self.n_likes < VERY_FEW_LIKES


Grid = Mapping[str, float | tuple[Any, ...]]  # setting → factor between neighbouring values, or tuple of all values
Space = Mapping[str, Range | tuple[Any, ...]]  # setting → range of its values, or tuple of all values
FEW_LIKES = 20_000  # `has_few_likes`; chosen on subsets of Book-Crossing and MovieLens-100K with 5,000 to 14,000 likes
VERY_FEW_LIKES = 8_000  # `has_very_few_likes`; chosen on such subsets with 1,000 to 14,000 likes
STEPS_AN_EPOCH, LEAST_BATCH = 16, 64  # for small data, on which default batches would give only one or two steps
SPARSE_BELOW = 10  # likes per user, for `is_sparse`: Book-Crossing has 2, MovieLens-100K 35
LEARNING_RATES = Range(1e-3, 1e-1, log=True)


class ModelConfig(BaseModel):
    """Settings of a model. Unknown names are refused.

    Settings that mean the same have the same name in all models, such as `embedding_dim`, `epochs` or `l2`.

    Attributes:
        tuning: The settings that `kgplug tune` searches, with the values to try.
        old_names: Name of a setting in old saved runs → its present name.
        removed: Names of settings in old saved runs. These settings had no effect and no longer exist.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)  # settings are stored as JSON
    tuning: ClassVar[Space] = {}
    old_names: ClassVar[Mapping[str, str]] = {}
    removed: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def of_saved(cls, settings: dict[str, Any]) -> dict[str, Any]:
        """Return the settings of a saved run under their present names, without those in `removed`."""
        kept = {cls.old_names.get(name, name): value for name, value in settings.items()}
        return {name: value for name, value in kept.items() if name in cls.model_fields or name not in cls.removed}

    @classmethod
    def suited_to(cls, size: DataSize) -> dict[str, float]:  # noqa: ARG003
        """Return settings that suit data of this size. `fit` uses them for settings that the user has not set."""
        return {}

    @classmethod
    def small_batches(cls, **rows: int) -> dict[str, float]:
        """Return batch sizes that give 16 steps per epoch, clipped to [64, default]: setting → batch size.

        Args:
            rows: Name of a batch-size setting → number of rows in an epoch.
        """
        defaults = {name: int(cls.model_fields[name].default) for name in rows}
        return {name: min(defaults[name], max(LEAST_BATCH, n // STEPS_AN_EPOCH)) for name, n in rows.items()}

    def describe(self) -> str:
        """Return the settings that differ from the defaults, and `embedding_dim`, as the text "name=value, …"."""
        shown = [
            f"{name}={getattr(self, name)!r}"
            for name, field in type(self).model_fields.items()
            if name == "embedding_dim" or getattr(self, name) != field.default
        ]
        return ", ".join(shown)

    def suited(self, size: DataSize) -> Self:
        """Return a copy in which `suited_to(size)` replaces settings that the user has not set."""
        chosen = {name: value for name, value in self.suited_to(size).items() if name not in self.model_fields_set}
        return self.model_copy(update=chosen)


class ChosenConfig(ModelConfig):
    """Settings of a model that can choose its most important settings on the validation set.

    Attributes:
        grid: The settings that can be chosen on the validation set, with the values to try (see `Grid`). By default,
            they are chosen if the user has set nothing that affects accuracy. With `settings="auto"`, those that the
            user has not set are chosen.
    """

    grid: ClassVar[Grid] = {}

    settings: Literal["auto", "defaults"] = Field(
        "auto",
        description='"auto": choose the most important settings on the validation set, unless settings are given',
    )


class TrainedConfig(ChosenConfig):
    """Settings of a model trained by gradient descent."""

    tuning: ClassVar[Space] = {
        "embedding_dim": (16, 32, 64, 128),
        "batch_size": (1024, 2048, 4096, 8192),
        "learning_rate": LEARNING_RATES,
        "l2": Range(1e-7, 1e-2, log=True),
    }

    grid: ClassVar[Grid] = {"l2": 5.0}

    embedding_dim: int = Field(64, ge=1, description="length of a vector")
    epochs: int = Field(100, ge=1, description="maximum number of epochs")
    patience: int = Field(5, ge=1, description="stop after this many epochs without a better validation metric")
    batch_size: int = Field(2048, ge=1, description="number of rows per step")
    learning_rate: float = Field(1e-2, gt=0, description="learning rate of Adam")
    l2: float = Field(1e-5, ge=0, description="weight of the squared norms of the batch's vectors")
    device: str = Field("auto", description='device: "auto", "cpu" or "cuda"')


def make_config(model: str, config_class: type[ModelConfig], settings: dict[str, Any]) -> ModelConfig:
    """Check settings and return them as a `config_class`. `model` is the model's name, for messages.

    Raises:
        UsageError: A name is unknown (the message suggests the nearest), or a value is out of range.
    """
    for name in settings:
        if name in config_class.old_names:
            raise UsageError(f'{model}: the setting "{name}" is now called "{config_class.old_names[name]}".')
        if name not in config_class.model_fields:
            raise unknown_name(f"setting of {model}", name, config_class.model_fields)
        settings = {**settings, name: _plain(settings[name])}
    truth = {name for name, field in config_class.model_fields.items() if "bool" in str(field.annotation)}
    for name in settings.keys() - truth:
        if isinstance(settings[name], bool):
            raise UsageError(f"{model}: {name}={settings[name]}: expected a number or text, found a boolean.")
    try:
        return config_class(**settings)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise UsageError(f"{model}: {name}={first['input']!r}: {first['msg']}.") from None


def signature(config_class: type[ModelConfig], defaults: Mapping[str, Any] | None = None) -> inspect.Signature:
    """Return the signature of a model's constructor: keyword-only settings with their types and defaults.

    Args:
        config_class: Class of the settings.
        defaults: Setting → default, if it differs from the class's.
    """
    parameters: list[inspect.Parameter] = []
    for name, field in config_class.model_fields.items():
        default = inspect.Parameter.empty if field.is_required() else field.get_default(call_default_factory=True)
        default = (defaults or {}).get(name, default)
        parameters.append(
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=field.annotation)
        )
    return inspect.Signature(parameters)


def _plain(value: object) -> object:
    """Return a numpy number as a Python number (float32(0.1) as 0.1), and other values unchanged."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, np.floating):
        return float(str(value))
    return value.item() if isinstance(value, (np.integer, np.bool_)) else value
