"""One kind of feedback: a [[feedback]] table of `kgplug.toml`."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from kgplug.cypher_text import ENDS, PatternNames, names_in, uses, without_comments, write_clause

SENTENCE = "sentence"  # type of the errors whose messages are whole sentences
TYPE_VARIABLES = ("user", "rated", "item")
"""Variables of the expressions of a kind with a type: the user, the relationship and the item."""
EXPRESSIONS = ("rating", "weight", "timestamp")
"""Settings that may be Cypher expressions."""
_REPLACED = ("type", "direction")
_ADDED = ("name", "pattern", "where", "weight", "strength", "half_life")


class SchemaPart(BaseModel):
    """A section of kgplug.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FeedbackSchema(SchemaPart):
    """Table [[feedback]] of kgplug.toml: what says which items a user likes, dislikes or has seen.

    It is either a relationship type that leads directly from users to items (or from items to users), or a Cypher
    pattern between two nodes `user` and `item`. Of a type, `rating`, `weight` and `timestamp` are names of properties,
    or Cypher expressions if they use one of the variables user, rated (the relationship) and item. Of a pattern, they
    are always Cypher expressions over the pattern's variables.
    """

    name: str | None = Field(
        default=None, description='name in messages; without it, the type, or "feedback" for a pattern'
    )
    type: str = Field(default="RATED", description='relationship type; "" if there is a pattern')
    direction: Literal["user_to_item", "item_to_user"] = Field(
        default="user_to_item", description="which way the relationships are stored"
    )
    pattern: str | None = Field(
        default=None,
        description="Cypher pattern with the nodes user and item, instead of type and direction",
    )
    where: str | None = Field(
        default=None,
        description="Cypher condition over the pattern's variables (of a type: user, rated, item)",
    )
    rating: str | None = Field(default=None, description="numeric property; without it, every relationship is a like")
    weight: str | None = Field(
        default=None, description="property or expression with numbers above 0: how much a row counts; without it, 1"
    )
    strength: float = Field(
        default=1.0, gt=0, allow_inf_nan=False, description="factor of the weights, for graphs with several kinds"
    )
    timestamp: str | None = Field(default=None, description="property with temporal values or numeric times since 1970")
    time_unit: Literal["s", "ms", "us", "ns"] | None = Field(
        default=None, description="unit of numeric timestamps; without it, guessed from their magnitude"
    )
    repeated: Literal["last", "sum", "mean", "max", "count", "decay"] | None = Field(
        default=None,
        description="how several relationships between the same two nodes become one rating; without it, the last "
        "rating, or their count if there is no rating property",
    )
    half_life: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description='days after which a row counts half as much, with repeated = "decay"',
    )
    like_threshold: float | None = Field(
        default=None,
        allow_inf_nan=False,
        validation_alias=AliasChoices("like_threshold", "like"),
        serialization_alias="like",
        description="lowest rating that counts as a like",
    )

    @field_validator("like_threshold", "strength", "half_life", mode="before")
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

    @model_validator(mode="before")
    @classmethod
    def _without_a_type(cls, content: Any) -> Any:
        if not isinstance(content, dict) or content.get("pattern") is None:
            return content
        given = [name for name in _REPLACED if content.get(name)]
        if given:
            raise whole_sentence(f"pattern says where the feedback is, so {' and '.join(given)} cannot be set as well.")
        return {**content, "type": ""}

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for setting in ("name", "pattern", "where"):
            if getattr(self, setting) is not None and not without_comments(getattr(self, setting)):
                raise whole_sentence(f"{setting} is empty. Remove it, or give it a text.")
        if self.pattern is None and not self.type:
            raise whole_sentence("expected a type or a pattern, found neither.")
        if self.pattern is not None:
            for variable in ENDS:
                if variable not in names_in(self.pattern).nodes:
                    raise whole_sentence(
                        f"pattern {self.pattern!r} has no node ({variable}). Expected a pattern between (user) and "
                        "(item), such as (user)-[:PURCHASED]->(:Order)-[:ORDERS]->(item)."
                    )
        for setting in ("pattern", "where", *filter(self.is_cypher, EXPRESSIONS)):
            clause = write_clause(getattr(self, setting) or "")
            if clause is not None:
                raise whole_sentence(f"{setting} would change the graph ({clause}). Expected Cypher that only reads.")
        if self.half_life is not None and self.repeated != "decay":
            raise whole_sentence(f'half_life is {self.half_life:g}, which is used only with repeated = "decay".')
        if self.repeated == "decay":
            missing = [name for name in ("half_life", "timestamp") if not getattr(self, name)]
            if missing:
                raise whole_sentence(f'repeated = "decay" also needs {" and ".join(missing)}.')
        return self

    @model_serializer(mode="wrap")
    def _like_earlier_versions(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what earlier versions do not know, where it has its default value."""
        content = serialize(self)
        defaults = {name: type(self).model_fields[name].default for name in _ADDED}
        unused = {name for name, default in defaults.items() if getattr(self, name) == default}
        return {name: value for name, value in content.items() if name not in unused | set(self._replaced())}

    def _replaced(self) -> tuple[str, ...]:
        return () if self.pattern is None else _REPLACED

    @property
    def known_as(self) -> str:
        """The kind's name in messages."""
        return self.name or self.type or "feedback"

    @property
    def names(self) -> PatternNames:
        """The variables, labels and relationship types of the pattern; of a type, the type."""
        if self.pattern is None:
            return PatternNames(frozenset(ENDS), frozenset(), False, frozenset({self.type}))
        return names_in(self.pattern)

    @property
    def is_plain(self) -> bool:
        """Whether the kind is a type with properties, without any Cypher."""
        return not (self.pattern or self.where or any(self.is_cypher(name) for name in EXPRESSIONS))

    def is_cypher(self, setting: str) -> bool:
        """Return whether rating, weight or timestamp is a Cypher expression, rather than a property's name or None."""
        value = getattr(self, setting)
        return bool(value) and (self.pattern is not None or uses(value, *TYPE_VARIABLES))


def whole_sentence(sentence: str) -> PydanticCustomError:
    """Return the validation error with a message that is a sentence."""
    return PydanticCustomError(SENTENCE, "{sentence}", {"sentence": sentence})
