"""The meaning of the labels, types and properties of a graph: `kgplug.toml`."""

from __future__ import annotations

import tomllib
import warnings
from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from kgplug.data.sources.catalogue import DEMO
from kgplug.errors import UsageError
from kgplug.graph.knowledge_schema import KnowledgeSchema
from kgplug.graph.schema_errors import sentence_on
from kgplug.renamed import RenamedWarning

DEFAULT_FILE = Path("kgplug.toml")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class UserSchema(_Part):
    """Section [user] of kgplug.toml: the nodes that get recommendations."""

    label: str = Field(default="User", min_length=1)
    key: str = Field(default="id", min_length=1, description="unique property")


class ItemSchema(_Part):
    """Section [item] of kgplug.toml: the nodes to recommend."""

    label: str = Field(default="Movie", min_length=1)
    key: str = Field(default="id", min_length=1, description="unique property")
    title: str | None = Field(default=None, description="property that lists show (if unset: the key) and DKN reads")


class FeedbackSchema(_Part):
    """Section [feedback] of kgplug.toml: the relationships that say which items a user likes, dislikes or has seen."""

    type: str = Field(default="RATED", min_length=1)
    direction: Literal["user_to_item", "item_to_user"] = Field(
        default="user_to_item", description="which way the relationships are stored"
    )
    rating: str | None = Field(default=None, description="numeric property; without it, every relationship is a like")
    timestamp: str | None = Field(default=None, description="property with temporal values or numeric times since 1970")
    time_unit: Literal["s", "ms", "us", "ns"] | None = Field(
        default=None, description="unit of numeric timestamps; without it, guessed from their magnitude"
    )
    repeated: Literal["last", "sum", "mean", "count"] | None = Field(
        default=None,
        description="how several relationships between the same two nodes become one rating; without it, the last "
        "rating, or their count if there is no rating property",
    )
    like_threshold: float | None = Field(
        default=None,
        allow_inf_nan=False,
        validation_alias=AliasChoices("like_threshold", "like"),
        serialization_alias="like",
        description="lowest rating that counts as a like",
    )

    @field_validator("like_threshold", mode="before")
    @classmethod
    def _a_number(cls, value: object) -> float | None:
        """Return a number of any type as a Python number: np.float32(4.1) gives 4.1. Booleans are refused."""
        if value is None or isinstance(value, float):
            return value if value is None else float(value)
        from kgplug.data.values.columns import as_number  # pandas

        number = as_number(value)
        if number is None:
            raise PydanticCustomError("number", "expected a number")
        return number


class GraphSchema(_Part):
    """What the labels, types and properties of a graph mean."""

    user: UserSchema = UserSchema()
    item: ItemSchema = ItemSchema()
    feedback: FeedbackSchema = FeedbackSchema()
    knowledge: KnowledgeSchema = KnowledgeSchema()

    @property
    def subject(self) -> tuple[str, str, str]:
        """The user label, the item label and the feedback's relationship type."""
        return self.user.label, self.item.label, self.feedback.type

    @property
    def pattern(self) -> str:
        """Cypher pattern of users, feedback and items, for messages, such as (:User)-[:RATED]->(:Movie)."""
        user, item, kind = self.subject
        arrow = f"-[:{kind}]->" if self.feedback.direction == "user_to_item" else f"<-[:{kind}]-"
        return f"(:{user}){arrow}(:{item})"

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
            raise UsageError(f"{path}: {sentence_on(error.errors()[0], cls)}") from None


def _rename_like(content: dict[str, Any], path: Path) -> None:
    """Rename `like`, the old name of like_threshold, in a file's content and warn. Without `like`, do nothing."""
    feedback: dict[str, Any] | str | None = content.get("feedback")
    if not isinstance(feedback, dict) or "like" not in feedback:
        return
    if "like_threshold" in feedback:
        raise UsageError(f"{path}: [feedback] has like_threshold and like, its old name. Remove like.")
    sentence = f"{path}: like under [feedback] is now called like_threshold. Rename it."
    warnings.warn(sentence, RenamedWarning, stacklevel=3)
    feedback["like_threshold"] = feedback.pop("like")


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
