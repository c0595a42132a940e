"""Options for publishing a run and making its lists. They are checked when they are set.

The command line and `Graph.publish` create a `PublishOptions`, and all later steps of a publish use this same object.
"""

from __future__ import annotations

import inspect
import reprlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Protocol, TypedDict, TypeVar, runtime_checkable

import numpy as np

from kgplug.data.ranking.choice import check_diversity
from kgplug.data.values.whole_numbers import whole_number
from kgplug.errors import UsageError

MOST_CHARACTERS = 100  # of the name of a published model; vector properties and indexes have names that contain it
SEEN = ("all", "train", "none")
_F = TypeVar("_F", bound=Callable[..., Any])


@runtime_checkable
class Embedding(Protocol):
    """The attributes and methods of an embedding that the option `diverse_by` uses."""

    name: str
    run: str

    def vectors_of(self, keys: np.ndarray, *, label: str = "") -> np.ndarray:
        """Return one vector per key, float32 (number of keys, dimension); zeros for unknown keys."""
        ...


@dataclass(frozen=True, kw_only=True)
class ListOptions:
    """Options for lists: which items a list may contain, and how different the items of one list should be.

    Attributes:
        seen: items to leave out of a user's list. "train": those on which the user has feedback in the training set;
            use this for lists that are compared with a test set. "all": also those on which the user has feedback in
            the graph now. "none": leave out nothing.
        where: Cypher predicate on `item`, such as "item.year > 1990". Only items for which it is true are listed.
        labels: only items with one of these labels are listed.
        diversity: 0 to 1, penalty for being similar to items higher in the list (MMR).
        diverse_by: embedding whose vectors give the similarity of items; the model's own vectors by default.

    Raises:
        UsageError: an option has a wrong value.
    """

    seen: Literal["all", "train", "none"] = "all"
    where: str | None = None
    labels: tuple[str, ...] = ()
    diversity: float = 0.0
    diverse_by: Embedding | None = None

    def __post_init__(self) -> None:
        if self.seen not in SEEN:
            raise UsageError(f'seen: expected "all", "train" or "none", found {self.seen!r}.')
        if self.where is not None and not self.where.strip():
            raise UsageError('where: expected a Cypher predicate on item, such as "item.year > 1990"; found nothing.')
        if isinstance(self.labels, str):
            raise UsageError(f"labels: expected a list of labels, such as [{self.labels!r}]; found text.")
        object.__setattr__(self, "labels", tuple(self.labels))
        if check_diversity(self.diversity) == 0 and self.diverse_by is not None:
            raise UsageError("diverse_by has no effect without diversity. Set diversity as well, such as 0.3.")
        _check_embedding(self.diverse_by)

    @property
    def are_filtered(self) -> bool:
        """Whether `labels` or `where` is set, so that some items may be left out of all lists."""
        return self.where is not None or bool(self.labels)

    @property
    def change_lists(self) -> bool:
        """Whether a list option differs from its default."""
        return any(getattr(self, each.name) != each.default for each in fields(ListOptions))


@dataclass(frozen=True, kw_only=True)
class PublishOptions(ListOptions):
    """Options for publishing a run: its lists, and how the run is written into the graph.

    Attributes:
        k: length of a list.
        similar: number of nearest nodes of the same label to which each node gets SIMILAR_TO edges. None: no edges.
        similar_label: the one label whose nodes get SIMILAR_TO edges; None: all labels.
        seen, where, labels, diversity, diverse_by: as in `ListOptions`.
        keep_previous: keep the run that serves now, so that `rollback` can return to it.
        force: publish a model even if it has collapsed, for example to identical vectors. Also publish a run from disk
            even if it was trained on another database.
        name: name under which the model is served; the model's own name by default.
        replace: if a run with another schema is served under this name, replace it instead of raising an error.

    Raises:
        UsageError: an option has a wrong value.
    """

    k: int = 10
    similar: int | None = None
    similar_label: str | None = None
    keep_previous: bool = True
    force: bool = False
    name: str | None = None
    replace: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "k", whole_number(self.k, "k", least=1))
        if self.similar is not None:
            object.__setattr__(self, "similar", whole_number(self.similar, "similar", least=1))
        elif self.similar_label is not None:
            raise UsageError(f"similar_label={self.similar_label!r} needs similar, the number of similar nodes.")
        if self.name is not None:
            check_served_name(self.name)

    def to_details(self, *, with_lists: bool) -> dict[str, dict[str, Any]]:
        """Return the options as a JSON-able dict. It is stored in the catalogue, for `kgplug publish --resume`.

        Args:
            with_lists: include `k` and the options in `ListOptions`.
        """
        kept = {name: getattr(self, name) for name in ("similar", "similar_label", "keep_previous", "force")}
        if not with_lists:
            return {"publish": kept}
        lists = {"k": self.k, **{each.name: getattr(self, each.name) for each in fields(ListOptions)}}
        lists["labels"] = list(self.labels)
        lists["diverse_by"] = None if self.diverse_by is None else self.diverse_by.run
        return {"publish": kept, "lists": lists}

    @classmethod
    def from_details(cls, details: dict[str, Any], *, load: Callable[[str], Embedding]) -> PublishOptions:
        """Restore the options from a dict that `to_details`, of this or an earlier version, returned.

        Args:
            details: details of a run in the catalogue.
            load: function that returns the embedding of the run with a given id; used for `diverse_by`.
        """
        lists = dict(details.get("lists", {}))
        if "top" in lists:  # the name of k in version 0.1.0
            lists["k"] = lists.pop("top")
        if lists.get("diverse_by") is not None:
            lists["diverse_by"] = load(lists["diverse_by"])
        return cls(**lists, **details.get("publish", {}))


class OptionsByName(TypedDict, total=False):
    """The fields of `PublishOptions` as keyword arguments, for type checkers and editors."""

    k: int
    similar: int | None
    similar_label: str | None
    seen: Literal["all", "train", "none"]
    where: str | None
    labels: tuple[str, ...]
    diversity: float
    diverse_by: Embedding | None
    keep_previous: bool
    force: bool
    name: str | None
    replace: bool


def with_options(options: PublishOptions | None, by_name: Mapping[str, Any]) -> PublishOptions:
    """Return `options` (default: `PublishOptions()`) with the fields in `by_name` replaced.

    `top` and `lists`, names from earlier versions, still work in `by_name`, with a `DeprecationWarning`.

    Raises:
        UsageError: an option has a wrong value.
        TypeError: a name in `by_name` is not an option.
    """
    _check_options(options)
    given = dict(by_name)
    if "top" in given:
        warnings.warn("publish: top is now called k.", DeprecationWarning, stacklevel=3)
        given["k"] = given.pop("top")
    if "lists" in given:
        warnings.warn("publish: give the options of lists by name, without lists=.", DeprecationWarning, stacklevel=3)
        lists = given.pop("lists")
        if lists is not None:
            given = {**{each.name: getattr(lists, each.name) for each in fields(ListOptions)}, **given}
    names = [each.name for each in fields(PublishOptions)]
    if unknown := sorted(given.keys() - set(names)):
        raise TypeError(f"publish has no option {unknown[0]!r}. Options: {', '.join(names)}.")
    return replace(options or PublishOptions(), **given) if given or options is None else options


def shows_options(function: _F) -> _F:
    """Let `help` and editors list the options of a function that takes `**options: Unpack[OptionsByName]`."""
    signature = inspect.signature(function)
    own = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
    options = [
        inspect.Parameter(each.name, inspect.Parameter.KEYWORD_ONLY, default=each.default, annotation=each.type)
        for each in fields(PublishOptions)
    ]
    function.__signature__ = signature.replace(parameters=[*own, *options])  # type: ignore[attr-defined]
    return function


def check_served_name(name: object) -> None:
    """Raise UsageError if a model cannot be served under this name."""
    is_text = isinstance(name, str) and name.isprintable() and name == name.strip()
    if not is_text or not 1 <= len(str(name)) <= MOST_CHARACTERS or "`" in str(name) or str(name).startswith("-"):
        raise UsageError(
            f"A published model needs a name of printable text, such as films: 1 to {MOST_CHARACTERS} characters, "
            f"without backticks, blanks around it or a dash at its start; found {reprlib.repr(name)}."
        )


def _check_embedding(diverse_by: object) -> None:
    if diverse_by is not None and not isinstance(diverse_by, Embedding):
        raise UsageError(f"diverse_by: expected an embedding, such as a trained TransE; found {diverse_by!r}.")


def _check_options(options: object) -> None:
    if options is not None and not isinstance(options, PublishOptions):
        raise UsageError(f"options: expected PublishOptions, such as PublishOptions(k=20); found {options!r}.")
