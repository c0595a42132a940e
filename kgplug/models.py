"""Models by name: recommenders, embeddings, and what other packages add.

Nothing heavy is imported before a model is made, so names can be listed at once.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kgplug.data.artefact import read_artefact
from kgplug.embeddings.catalogue import EMBEDDINGS, EXCLUDED, embedding_name
from kgplug.errors import RunError, UsageError, unknown_name
from kgplug.recommenders.catalogue import RECOMMENDERS, ModelInfo

if TYPE_CHECKING:
    import numpy as np

    from kgplug.embeddings.model import EmbeddingModel
    from kgplug.recommenders.base import Recommender

ENTRY_POINT_GROUP = "kgplug.models"


_registered: dict[str, type] = {}


def create(name: str, /, **settings: Any) -> Recommender | EmbeddingModel:
    """Return an untrained model.

    Args:
        name: as `available()` lists it; case is ignored.
        settings: of the model's config.

    Raises:
        UsageError: no model has this name (the nearest is told), or a setting is unknown or out of its range.
    """
    maker = _maker(name)
    for word in ("self", "name"):  # what the model's constructor calls other things
        if word in settings:
            raise UsageError(f'{name} has no setting "{word}".')
    return maker(**settings)


def load(folder: Path | str) -> Recommender | EmbeddingModel:
    """Return the trained model of a run folder, whichever it is. Pickles are never read.

    Raises:
        RunError: this is no run folder, or it is damaged, or its model is not installed.
    """
    folder = Path(folder)
    if os.path.isfile(folder):  # noqa: PTH113 (Path.is_file raises for a name that is too long)
        raise RunError(
            f"{folder} is a file; expected a run folder with manifest.json as `save` writes it. Files such as pickles "
            "are not opened, because they can run code."
        )
    return restored(folder, *read_artefact(folder))


def restored(folder: Path, arrays: dict[str, np.ndarray], content: dict) -> Recommender | EmbeddingModel:
    """Return the trained model of a run folder whose artefact was read; errors as in `load`."""
    if content.get("kind") == "embedding":
        from kgplug.embeddings.model import EmbeddingModel

        return EmbeddingModel.restored(folder, arrays, content)
    if content.get("kind") != "recommender":
        raise RunError(f'{folder}: expected a run of kind "recommender" or "embedding", found {content.get("kind")!r}.')
    try:
        maker = _maker(str(content.get("model")))
    except UsageError as error:
        raise RunError(f"{folder} holds a model that is not installed here. {error}") from None
    from kgplug.recommenders.base import Recommender

    if isinstance(maker, type) and issubclass(maker, Recommender) and maker.load.__func__ is Recommender.load.__func__:
        return maker.restored(folder, arrays, content)
    return maker.load(folder)  # type: ignore[attr-defined]  # of another package, with a way of its own to read it


def register(name: str, model: type) -> None:
    """Make a model class available under a name, for this process.

    A package does this for good by an entry point of the group "kgplug.models".

    Args:
        model: a `Recommender` (or a class with the same methods) whose `name` is this name.

    Raises:
        UsageError: the name belongs to a model of kgplug, or the class does not carry it.
    """
    taken = {known.lower() for known in (*RECOMMENDERS, *EMBEDDINGS, *EXCLUDED)}
    if name.lower() in taken:
        raise UsageError(f'The name "{name}" belongs to a model of kgplug; register yours under another.')
    if getattr(model, "name", None) != name:
        found = getattr(model, "name", None)
        raise UsageError(
            f'{model!r}: expected name = "{name}" on the class, as its runs are opened by it; found {found!r}.'
        )
    _registered[name] = model


def kind(model: Recommender | EmbeddingModel) -> str:
    """Return "recommender" or "embedding"."""
    return getattr(model, "kind", "recommender")


def available() -> list[ModelInfo]:
    """Return every model that `create` makes: recommenders, then what was added, then embeddings."""
    added = [
        ModelInfo(name, getattr(model, "kind", "recommender"), "", "likes", _first_line(model))
        for name, model in sorted(_registered.items())
    ]
    added += [
        ModelInfo(name, "recommender", "", "likes", f"added by {_package(point)}")
        for name, point in sorted(_entry_points().items())
        if name not in _registered
    ]
    embeddings = [
        ModelInfo(name, "embedding", entry.paper, "triples", entry.good_for) for name, entry in EMBEDDINGS.items()
    ]
    return [entry.info(name) for name, entry in RECOMMENDERS.items()] + added + embeddings


def _maker(name: str) -> Callable[..., Any]:
    """Return the class of a model, or what else an entry point gives to make one."""
    points = _entry_points()
    known = {each.lower(): each for each in (*EMBEDDINGS, *EXCLUDED, *points, *_registered, *RECOMMENDERS)}
    found = known.get(name.lower())
    if found is None:
        raise unknown_name("model", name, [*RECOMMENDERS, *_registered, *points, *EMBEDDINGS])
    if found in RECOMMENDERS:
        module, _, attribute = RECOMMENDERS[found].home.partition(":")
        return getattr(importlib.import_module(f"kgplug.recommenders.models.{module}"), attribute)
    if found in _registered:
        return _registered[found]
    if found in points:
        return _load_point(points[found])
    embedding_name(found)  # refuses those that do not fit

    from kgplug.embeddings.named import named

    return named(found)


def _entry_points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}


def _load_point(point: EntryPoint) -> Callable[..., Any]:
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        raise UsageError(f'Model "{point.name}" of {_package(point)} cannot be imported: {error}.') from error


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value


def _first_line(model: type) -> str:
    return (model.__doc__ or "").strip().partition("\n")[0]
