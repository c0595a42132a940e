"""Construction of PyKEEN models from their names and settings."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from pykeen.losses import Loss, loss_resolver
from pykeen.models import ERModel, model_resolver
from pykeen.nn.node_piece import utils as node_piece
from pykeen.triples import CoreTriplesFactory, KGInfo
from pykeen.utils import NoRandomSeedNecessary

from kgplug.embeddings.catalogue import EMBEDDINGS
from kgplug.embeddings.config import EmbeddingConfig
from kgplug.embeddings.parts import tensor_network, translational
from kgplug.errors import UsageError, unknown_name

CORRECTED: dict[str, type[ERModel[Any, Any, Any]]] = {
    "NTN": tensor_network.NTN,
    "TransE": translational.TransE,
    "TransH": translational.TransH,
    "TransR": translational.TransR,
}
_SET_HERE = {"self", "triples_factory", "embedding_dim", "random_seed", "loss", "loss_kwargs", "kwargs"}


def module_class(name: str) -> Any:
    """Return the class (an `ERModel`) of a model in the catalogue."""
    return CORRECTED.get(name) or model_resolver.lookup(name)


def model_settings_of(name: str) -> dict[str, Any]:
    """Return the names that `model_settings` may contain, each with its default (None if there is none)."""
    cls = module_class(name)
    classes = [
        *([cls.__mro__[2]] if name in ("TransE", "TransR") else []),
        cls,
    ]  # the classes of these two pass further settings on to PyKEEN's class
    found = {p.name: p.default for each in classes for p in inspect.signature(each.__init__).parameters.values()}
    return {
        setting: None if default is inspect.Parameter.empty else default
        for setting, default in found.items()
        if setting not in _SET_HERE
    }


def check_model_settings(name: str, settings: dict[str, Any]) -> None:
    """Raise UsageError if the model lacks one of these settings."""
    valid = model_settings_of(name)
    for setting in settings:
        if setting not in valid:
            raise unknown_name(f"model setting of {name}", setting, valid or {"(none)"})


def build_loss(name: str, config: EmbeddingConfig) -> Loss:
    """Return the loss that the settings name; by default, the model's own.

    Raises:
        UsageError: PyKEEN has no such loss, or the loss does not accept these settings.
    """
    default = module_class(name)
    try:
        if config.loss is None:
            return default.loss_default(**{**(default.loss_default_kwargs or {}), **config.loss_settings})
        if loss_resolver.normalize(config.loss) not in loss_resolver.lookup_dict:
            raise unknown_name("loss", config.loss, [c.__name__.removesuffix("Loss") for c in loss_resolver])
        return loss_resolver.make(config.loss, dict(config.loss_settings))
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name}: loss_settings={config.loss_settings}: {error}.") from error


def build_module(
    name: str, config: EmbeddingConfig, *, n_entities: int, n_relations: int, triples: np.ndarray, seed: int
) -> ERModel[Any, Any, Any]:
    """Return a newly initialised model on the CPU. The state of torch's global generator is restored afterwards.

    Args:
        name: Name in the catalogue.
        config: The model's settings.
        n_entities, n_relations: Numbers of entities and of relations.
        triples: int64 (n, 3); only graph networks read them.
        seed: Seed of the initial weights.

    Raises:
        UsageError: PyKEEN cannot build the model with these settings.
    """
    entry, inverse = EMBEDDINGS[name], config.reciprocal or EMBEDDINGS[name].inverse
    check_model_settings(name, config.model_settings)
    loss = build_loss(name, config)
    if entry.reads_graph:
        graph: KGInfo = CoreTriplesFactory(
            torch.from_numpy(np.asarray(triples, dtype=np.int64)), n_entities, n_relations,
            create_inverse_triples=inverse,
        )  # fmt: skip
    else:
        graph = KGInfo(n_entities, n_relations, create_inverse_triples=inverse)
    with torch.random.fork_rng(), _quiet():
        torch.manual_seed(seed)
        try:
            return module_class(name)(
                triples_factory=graph,
                embedding_dim=config.embedding_dim,
                loss=loss,
                random_seed=NoRandomSeedNecessary,
                **config.model_settings,
            )
        except (TypeError, ValueError, RuntimeError, AssertionError, KeyError, AttributeError) as error:
            found = f"embedding_dim={config.embedding_dim}, model_settings={config.model_settings}"
            raise UsageError(f"PyKEEN cannot build {name} with {found}: {error or type(error).__name__}.") from error


@contextmanager
def _quiet() -> Generator[None]:
    """Hide PyKEEN's progress bar and its warnings while a model is built.

    The warnings are about inverse triples, and about parameters that PyKEEN cannot reset.
    """
    logger = logging.getLogger("pykeen")
    names = node_piece.__dict__
    level, bar = logger.level, names["tqdm"]
    logger.setLevel(logging.ERROR)
    names["tqdm"] = partial(bar, disable=True)
    try:
        yield
    finally:
        logger.setLevel(level)
        names["tqdm"] = bar
