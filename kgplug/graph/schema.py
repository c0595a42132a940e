"""The meaning of the labels, types and properties of a graph: `kgplug.toml`."""

from __future__ import annotations

import tomllib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_serializer,
    field_validator,
    model_serializer,
)

from kgplug.cypher_text import without_comments, write_clause
from kgplug.data.graph_identity import identify_feedback
from kgplug.data.sources.catalogue import DEMO
from kgplug.errors import UsageError
from kgplug.graph.feedback_schema import FeedbackSchema, SchemaPart, whole_sentence
from kgplug.graph.knowledge_schema import KnowledgeSchema
from kgplug.graph.schema_errors import sentence_on
from kgplug.renamed import RenamedWarning

__all__ = [
    "DEFAULT_FILE",
    "DEMO_SCHEMA",
    "FeedbackSchema",
    "GraphSchema",
    "ItemSchema",
    "KnowledgeSchema",
    "UserSchema",
]

DEFAULT_FILE = Path("kgplug.toml")


class _NodeSchema(SchemaPart):
    """The settings that [user] and [item] share."""

    label: str = Field(min_length=1)
    key: str = Field(default="id", min_length=1, description="unique property")
    where: str | None = Field(
        default=None,
        description="Cypher condition, such as user.tenant = 'north' or item.shop = 'books'; nodes of the label for "
        "which it is not true do not exist for kgplug",
    )

    @field_validator("where")
    @classmethod
    def _a_condition(cls, text: str | None) -> str | None:
        """Return a condition without comments, so that text may follow it."""
        text = None if text is None else without_comments(text)
        if text == "":
            raise whole_sentence("where is empty. Expected a Cypher condition such as user.tenant = 'north'.")
        if text is not None and (clause := write_clause(text)) is not None:
            raise whole_sentence(f"where would change the graph ({clause}). Expected a condition, which only reads.")
        return text

    @model_serializer(mode="wrap")
    def _like_earlier_versions(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out `where` if it is not set, because earlier versions do not know it."""
        content = serialize(self)
        return {name: value for name, value in content.items() if name != "where" or value is not None}


class UserSchema(_NodeSchema):
    """Section [user] of kgplug.toml: the nodes that get recommendations."""

    label: str = Field(default="User", min_length=1)


class ItemSchema(_NodeSchema):
    """Section [item] of kgplug.toml: the nodes to recommend."""

    label: str = Field(default="Movie", min_length=1)
    title: str | None = Field(default=None, description="property that lists show (if unset: the key) and DKN reads")


class GraphSchema(SchemaPart):
    """What the labels, types and properties of a graph mean.

    Attributes:
        feedback: the kinds of feedback, at least one. A single `FeedbackSchema` or dict is accepted.
    """

    user: UserSchema = UserSchema()
    item: ItemSchema = ItemSchema()
    feedback: tuple[FeedbackSchema, ...] = Field(default=(FeedbackSchema(),), min_length=1)
    knowledge: KnowledgeSchema = KnowledgeSchema()

    if TYPE_CHECKING:  # the types that the validator below accepts

        def __init__(
            self,
            *,
            user: UserSchema = ...,
            item: ItemSchema = ...,
            feedback: FeedbackSchema | tuple[FeedbackSchema, ...] = ...,
            knowledge: KnowledgeSchema = ...,
        ) -> None: ...

    @field_validator("feedback", mode="before")
    @classmethod
    def _as_kinds(cls, value: Any) -> Any:
        return (value,) if isinstance(value, (FeedbackSchema, dict)) else value

    @field_validator("feedback")
    @classmethod
    def _with_different_names(cls, kinds: tuple[FeedbackSchema, ...]) -> tuple[FeedbackSchema, ...]:
        names = [kind.known_as for kind in kinds]
        again = next((name for number, name in enumerate(names) if name in names[:number]), None)
        if again is not None:
            raise whole_sentence(
                f"two [[feedback]] tables have the name {again!r}. Set name to a name of its own in each."
            )
        return kinds

    @field_serializer("feedback")
    def _one_as_dict(self, kinds: tuple[FeedbackSchema, ...]) -> Any:
        """Serialise a single kind as a dict, as earlier versions did."""
        return kinds[0] if len(kinds) == 1 else list(kinds)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with other parts; the feedback may be a single `FeedbackSchema`."""
        update = dict(update or {})
        if isinstance(update.get("feedback"), FeedbackSchema):
            update["feedback"] = (update["feedback"],)
        return super().model_copy(update=update, deep=deep)

    @property
    def subject(self) -> tuple[str, str, str]:
        """The user label, the item label, and what identifies the feedback: for one plain kind, its type."""
        return (
            self.user.label,
            self.item.label,
            identify_feedback((kind.pattern or kind.type, kind.where) for kind in self.feedback),
        )

    @property
    def conditions(self) -> tuple[str | None, str | None]:
        """The conditions `where` of [user] and [item]; None for a condition that is not set."""
        return self.user.where, self.item.where

    @property
    def has_conditions(self) -> bool:
        """Whether users or items have a condition."""
        return self.conditions != (None, None)

    @property
    def tables_with_cypher(self) -> str:
        """The tables that have Cypher, for messages, such as [user] where, [feedback]."""
        wheres = zip(("[user] where", "[item] where"), self.conditions, strict=True)
        found = [table for table, where in wheres if where is not None]
        return ", ".join([*found, *([] if all(kind.is_plain for kind in self.feedback) else ["[feedback]"])])

    def without_conditions(self) -> GraphSchema:
        """Return the schema without the conditions on users and items: that of the whole database."""
        user, item = (part.model_copy(update={"where": None}) for part in (self.user, self.item))
        return self.model_copy(update={"user": user, "item": item})

    @property
    def pattern(self) -> str:
        """Cypher pattern of users, feedback and items, for messages, such as (:User)-[:RATED]->(:Movie)."""
        return " and ".join(kind.pattern or self._arrow(kind) for kind in self.feedback)

    def _arrow(self, kind: FeedbackSchema) -> str:
        arrow = f"-[:{kind.type}]->" if kind.direction == "user_to_item" else f"<-[:{kind.type}]-"
        return f"(:{self.user.label}){arrow}(:{self.item.label})"

    def table_of(self, kind: FeedbackSchema) -> str:
        """Return the table of a kind in kgplug.toml, for messages: [feedback], or [[feedback]] "bought" of several."""
        return "[feedback]" if len(self.feedback) == 1 else f'[[feedback]] "{kind.known_as}"'

    @property
    def has_plain_feedback(self) -> bool:
        """Whether the feedback is a single relationship type with properties, without any Cypher."""
        return len(self.feedback) == 1 and self.feedback[0].is_plain and not self.has_conditions

    @property
    def like_threshold(self) -> float | None:
        """The like threshold, if there is one kind of feedback; None if several kinds become one by their own ones."""
        return self.feedback[0].like_threshold if len(self.feedback) == 1 else None

    @property
    def feedback_types(self) -> frozenset[str]:
        """The relationship types that feedback leads through: of a type, the type; of a pattern, all of its types."""
        return frozenset[str]().union(*(kind.names.types for kind in self.feedback))

    @property
    def direct_types(self) -> frozenset[str]:
        """The relationship types of feedback that leads directly from users to items."""
        direct = (kind.names for kind in self.feedback)
        return frozenset[str]().union(*(names.types for names in direct if not (names.labels or names.has_unlabelled)))

    @property
    def feedback_labels(self) -> frozenset[str]:
        """The labels of nodes between users and items that feedback leads through, such as Order."""
        return frozenset[str]().union(*(kind.names.labels for kind in self.feedback)) - {
            self.user.label,
            self.item.label,
        }

    @classmethod
    def load(cls, path: str | Path = DEFAULT_FILE) -> GraphSchema:
        """Read a schema from a TOML file.

        Raises:
            UsageError: the file is missing or is not TOML, or it has an entry with an unknown name or a wrong type.
        """
        path = Path(path)
        try:
            content: dict[str, Any] = tomllib.loads(_decoded(path.read_bytes(), path))
        except FileNotFoundError:
            raise UsageError(f"No schema at {path}. `kgplug init` writes one from the database.") from None
        except IsADirectoryError:
            raise UsageError(f"{path} is a folder; expected a TOML file such as {DEFAULT_FILE}.") from None
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}.") from None
        except (ValueError, RecursionError) as error:  # not TOML, a number that is too long, or nested too deeply
            raise UsageError(f"{path} is not valid TOML: {error}.") from None
        _rename_like(content, path)
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise UsageError(f"{path}: {sentence_on(error.errors()[0], cls, content)}") from None


def _rename_like(content: dict[str, Any], path: Path) -> None:
    """Rename `like`, the old name of like_threshold, in a file's content and warn. Without `like`, do nothing."""
    given: Any = content.get("feedback")
    tables: list[Any] = [*given] if isinstance(given, list) else [given]
    old: list[dict[str, Any]] = [table for table in tables if isinstance(table, dict) and "like" in table]
    if not old:
        return
    if any("like_threshold" in table for table in old):
        raise UsageError(f"{path}: [feedback] has like_threshold and like, its old name. Remove like.")
    sentence = f"{path}: like under [feedback] is now called like_threshold. Rename it."
    warnings.warn(sentence, RenamedWarning, stacklevel=3)
    for table in old:
        table["like_threshold"] = table.pop("like")


def _decoded(content: bytes, path: Path) -> str:
    """Return a file's text without a byte order mark and with \\n as line endings."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:  # ASCII text in UTF-16 without a mark is valid UTF-8, but has null characters
        raise UsageError(f"{path} is not UTF-8 text. Save it as UTF-8.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


DEMO_SCHEMA = GraphSchema.model_validate(DEMO.schema)
"""The schema of the graph that `kgplug demo` imports."""
