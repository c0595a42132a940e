"""The search space of an embedding model: PyKEEN's ranges (`hpo_default`) and those of kgplug."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from pykeen.models import model_resolver

from kgplug.embeddings.config import EmbeddingConfig
from kgplug.embeddings.parts.build import build_loss, model_settings_of, module_class
from kgplug.training.config import Range, Space


def search_space(name: str, config: EmbeddingConfig) -> Space:
    """Return the settings to search: name → range or choices.

    Settings that only this model has are called "model_settings.…", and settings of its loss "loss_settings.…". Their
    ranges and the range of `embedding_dim` come from PyKEEN. The other ranges come from `EmbeddingConfig`. Epochs are
    not searched, because early stopping chooses them.
    """
    own, taken = _ranges(getattr(model_resolver.lookup(name), "hpo_default", None)), model_settings_of(name)
    by_negatives = config.training == "negatives"
    space = dict(EmbeddingConfig.tuning if by_negatives else EmbeddingConfig.tuning_against_all)
    if own and "embedding_dim" not in own:
        del space["embedding_dim"]  # ConvE's vector length must fit the height and width of its images
    elif own:
        space["embedding_dim"] = own["embedding_dim"]
    space |= {f"model_settings.{setting}": values for setting, values in own.items() if setting in taken}
    if not by_negatives:
        space.pop("model_settings.scoring_fct_norm", None)  # only the Euclidean norm can be trained
        return space
    losses = _ranges(type(build_loss(name, config)).hpo_default)
    return space | {f"loss_settings.{setting}": values for setting, values in losses.items()}


def defaults(name: str, config: EmbeddingConfig) -> dict[str, Any]:
    """Return the values from which a search starts: setting (named as in `search_space`) → value.

    A setting that is not in `config` has its default, or None if the default is unknown.
    """
    model, loss = module_class(name), type(build_loss(name, config))
    of_loss = {p.name: p.default for p in inspect.signature(loss.__init__).parameters.values()}
    if config.loss is None:
        of_loss |= model.loss_default_kwargs or {}
    inner = {
        "model_settings": {**model_settings_of(name), **config.model_settings},
        "loss_settings": {**of_loss, **config.loss_settings},
    }
    nested = {f"{top}.{setting}": value for top, settings in inner.items() for setting, value in settings.items()}
    return {**dict(config), **nested}


def _ranges(hpo_default: Mapping[str, Any] | None) -> dict[str, Range | tuple[Any, ...]]:
    """Convert PyKEEN's search space to setting → range or choices. Classes among the choices become their names."""
    found: dict[str, Range | tuple[Any, ...]] = {}
    for setting, values in (hpo_default or {}).items():
        kind = values["type"]
        if kind in (bool, "bool"):
            found[setting] = (True, False)
        elif kind == "categorical":
            choices = [each.__name__ if inspect.isclass(each) else each for each in values["choices"]]
            found[setting] = tuple(sorted(choices, key=str))
        elif values.get("scale") in ("power", "power_two"):
            found[setting] = tuple(2**power for power in range(values["low"], values["high"] + 1))
        else:
            number = int if kind in (int, "int") else float
            logarithmic = bool(values.get("log")) or values.get("scale") == "log"
            found[setting] = Range(number(values["low"]), number(values["high"]), logarithmic, values.get("q"))
    return found
