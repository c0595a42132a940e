"""Models by name: recommenders, embeddings, and models of other packages.

Heavy packages are imported only when a model is created, so listing names is fast.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias

from kgplug.data.artefact import read_artefact
from kgplug.data.kinds import TRIPLES, Inputs, Kind
from kgplug.embeddings.catalogue import EMBEDDINGS, EXCLUDED, WITHOUT_VECTORS, embedding_name
from kgplug.errors import RunError, UsageError, unknown_name
from kgplug.recommenders.catalogue import RECOMMENDERS, ModelInfo
from kgplug.renamed import renamed
from kgplug.settings import Settings
from kgplug.training.runs import Runs

if TYPE_CHECKING:
    import numpy as np

    from kgplug.data.erasure.user_arrays import EntityArrays, UserArrays
    from kgplug.data.publication import Publication
    from kgplug.data.row_memory import RowMemory
    from kgplug.embeddings.link_predictor import LinkPredictor
    from kgplug.recommenders.base import Recommender

AnyModel: TypeAlias = "Recommender | LinkPredictor"
ENTRY_POINT_GROUP = "kgplug.models"


_registered: dict[str, type] = {}


class Model(Protocol):
    """Interface of every model, of kgplug or of another package. `Recommender` implements most of its members.

    Attributes:
        name: name by which `create` finds the model.
        kind: recommender (produces lists of items) or embedding (produces vectors of entities).
        inputs: kinds of data that the model learns from, and whether it uses weights of feedback. `kgplug models`
            prints them; `kgplug train` reads only these kinds.
        config: settings of the model.
        history: facts about the training. For models trained by epochs: `History.to_dict()`; for most others: {}.
        health: problems of the trained model, one sentence each.
        run: id under which the trained model is saved and published.
        graph_schema: schema of the Neo4j graph that the training data came from; None for other sources.
    """

    name: str
    kind: ClassVar[Kind]
    inputs: ClassVar[Inputs]
    config: Any
    history: dict[str, Any]
    health: list[str]
    run: str
    graph_schema: dict[str, Any] | None

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """Train on the data that `inputs` names.

        Args:
            args: Feedback, then triples, or only the kind that `inputs` names.
            kwargs: `valid` (the validation set), `seed` and further options.
        """
        ...

    def save(self, run_dir: Path, *, memory: RowMemory | None = None, **facts: object) -> None:
        """Write the model as a run folder.

        Args:
            run_dir: The folder to write.
            memory: Hash of each interaction or triple, and the set (training, validation or test) that it is in.
            facts: Further entries of the run's content.json, JSON-serialisable.
        """
        ...

    @classmethod
    def restored(cls, run_dir: Path, arrays: dict[str, np.ndarray], content: dict[str, Any]) -> Any:
        """Return the trained model, given the run folder, its arrays and its parsed content.json."""
        ...

    def publication(self, *args: Any, **kwargs: Any) -> Publication:
        """Return the data that a publisher writes into the graph."""
        ...

    @classmethod
    def user_arrays(cls) -> UserArrays | EntityArrays | None:
        """Return the names of the saved arrays that hold user data, for erasing a user; None if they are unknown."""
        ...


def create(name: str, /, **settings: Any) -> AnyModel:
    """Return an untrained model.

    Args:
        name: one of `names()`; case is ignored.
        settings: settings of the model.

    Raises:
        UsageError: no model has this name (the message suggests the nearest), or a setting is unknown or out of range.
    """
    maker = _maker(name)
    for word in ("self", "name"):  # arguments of the constructor that are not settings
        if word in settings:
            raise UsageError(f'{name} has no setting "{word}".')
    return maker(**_with_run_dir(settings))


@renamed(folder="run_dir")
def load(run_dir: Path | str) -> AnyModel:
    """Return the trained model that a run folder holds. Its content.json names the model. Pickles are never read.

    Raises:
        RunError: this is not a run folder, it is damaged, or its model is not installed.
    """
    run_dir = Path(run_dir)
    if os.path.isfile(run_dir):  # noqa: PTH113 (Path.is_file raises for a name that is too long)
        raise RunError(
            f"{run_dir} is a file; expected a run folder with manifest.json as `save` writes it. Files such as pickles "
            "are not opened, because they can run code."
        )
    return restored(run_dir, *read_artefact(run_dir))


def _with_run_dir(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings, with the names of local runs in `embedding` and `members` replaced by the runs' folders."""
    found = dict(settings)
    if isinstance(name := settings.get("embedding"), str):
        found["embedding"] = _run_dir(name, EMBEDDINGS)
    if isinstance(names := settings.get("members"), str):
        found["members"] = ",".join(_run_dir(name.strip(), RECOMMENDERS) for name in names.split(","))
    return found


def _run_dir(name: str, known: Iterable[str]) -> str:
    """Return the folder of the run with this name.

    Names of models (`known`), folders and unknown names are returned unchanged.
    """
    if name.lower() in {each.lower() for each in known} or Path(name).is_dir():
        return name
    try:
        return str(Runs(Settings().runs_dir).resolve(name))
    except UsageError:
        return name  # training refuses the name and says what it expected


def restored(run_dir: Path, arrays: dict[str, np.ndarray], content: dict[str, Any]) -> AnyModel:
    """Return the trained model, given a run folder, its arrays and its content.json. Errors are as in `load`."""
    if content.get("kind") not in list(Kind):
        found = content.get("kind")
        raise RunError(f'{run_dir}: expected a run of kind "recommender" or "embedding", found {found!r}.')
    try:
        model = class_of(str(content.get("model")))
    except UsageError as error:
        raise RunError(f"{run_dir} holds a model that is not installed here. {error}") from None
    if content["kind"] != model.kind:
        raise RunError(f"{run_dir} contains {content['model']}, which is not of kind {content['kind']}. Train again.")
    return model.restored(run_dir, arrays, content)


def register(name: str, model: type) -> None:
    """Make a model class available under a name, for this process.

    To make it available in every process, a package declares an entry point of the group "kgplug.models".

    Args:
        name: name of the model.
        model: a subclass of `Recommender`, or a class with all members of `Model`. Its attribute `name` must equal
            `name`.

    Raises:
        UsageError: the name belongs to a model of kgplug, or the class's `name` differs.
    """
    taken = {known.lower() for known in (*RECOMMENDERS, *EMBEDDINGS, *WITHOUT_VECTORS, *EXCLUDED)}
    if name.lower() in taken:
        raise UsageError(f'The name "{name}" belongs to a model of kgplug; register yours under another.')
    found = vars(model).get("name")
    if found != name:
        raise UsageError(
            f'{model!r}: expected name = "{name}" on the class, because runs are opened by this name; found {found!r}.'
        )
    _registered[name] = model


def available() -> list[ModelInfo]:
    """Return the `ModelInfo` of every model: recommenders, then models of other packages, then embeddings."""
    added = [_added(name, model, _first_line(model)) for name, model in sorted(_registered.items())]
    added += [_of_point(name, point) for name, point in sorted(_entry_points().items()) if name not in _registered]
    embeddings = [
        ModelInfo(name, Kind.EMBEDDING, entry.paper, str(TRIPLES), entry.good_for)
        for name, entry in (*EMBEDDINGS.items(), *WITHOUT_VECTORS.items())
    ]
    return [entry.info(name) for name, entry in RECOMMENDERS.items()] + added + embeddings


def names() -> list[str]:
    """Return the names of all models, without importing any."""
    return [*RECOMMENDERS, *sorted({*_registered, *_entry_points()}), *EMBEDDINGS, *WITHOUT_VECTORS]


def class_of(name: str) -> Any:
    """Return the class of the model with this name, after checking that it has the class members of `Model`.

    Raises:
        UsageError: no model has this name, or the object registered under this name is not a model.
    """
    return _checked(name, _maker(name))


def _added(name: str, model: Any, good_for: str) -> ModelInfo:
    found = _checked(name, model)
    inputs = found.inputs
    return ModelInfo(name, found.kind, "", str(inputs), good_for, "used" if inputs.weights else "")


def _of_point(name: str, point: EntryPoint) -> ModelInfo:
    """Return the `ModelInfo` of a model of another package. If kgplug cannot use it, the field `good_for` says why."""
    try:
        return _added(name, _load_point(point), f"added by {_package(point)}")
    except UsageError as error:
        return ModelInfo(name, Kind.RECOMMENDER, "", "unknown", str(error))


def _checked(name: str, model: Any) -> Any:
    """Return `model`, after checking that it has all class members of `Model`.

    Raises:
        UsageError: a member is missing.
    """
    members = ("name", "kind", "inputs", "fit", "save", "restored", "publication", "user_arrays")
    if missing := [member for member in members if not hasattr(model, member)]:
        raise UsageError(
            f'Model "{name}" ({model!r}) lacks {", ".join(missing)}. Derive it from '
            "kgplug.recommenders.Recommender, or add them; see docs/howto/your-own-model.md."
        )
    return model


def _maker(name: str) -> Callable[..., Any]:
    """Return the class of a model, or an entry point's callable that creates the model."""
    points = _entry_points()
    known = {
        each.lower(): each for each in (*EMBEDDINGS, *WITHOUT_VECTORS, *EXCLUDED, *points, *_registered, *RECOMMENDERS)
    }
    found = known.get(name.lower())
    if found is None:
        raise unknown_name("model", name, [*RECOMMENDERS, *_registered, *points, *EMBEDDINGS, *WITHOUT_VECTORS])
    if found in RECOMMENDERS:
        return RECOMMENDERS[found].load()
    if found in _registered:
        return _registered[found]
    if found in points:
        return _load_point(points[found])
    if found in WITHOUT_VECTORS:
        return WITHOUT_VECTORS[found].load()
    embedding_name(found)  # raises for models that kgplug cannot use

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
