"""What to learn from besides feedback: section [knowledge] of `kgplug.toml`."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from kgplug.cypher_text import names_in, write_clause
from kgplug.graph.feedback_schema import SchemaPart, whole_sentence

_ENDS = ("head", "tail")
_EXAMPLE = "(head:Product)<-[:ORDERS]-(:Order)-[:ORDERS]->(tail:Product)"
_RULES = ("values", "decades", "bands")
_ADDED = ("exclude", "patterns", "properties")
_MOST_BANDS = 1000


class RelationPattern(SchemaPart):
    """An entry of [knowledge.patterns] in kgplug.toml: a relation between the nodes `head` and `tail` of a pattern.

    In kgplug.toml, an entry is a table or only the pattern as text.
    """

    pattern: str = Field(min_length=1, description="Cypher pattern with the nodes head and tail")
    where: str | None = Field(
        default=None, min_length=1, description="Cypher condition over the pattern's variables; without it, none"
    )
    least_count: int = Field(
        default=1, ge=1, description="minimum number of matches of the pattern between a head and a tail"
    )

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, content: Any) -> Any:
        return {"pattern": content} if isinstance(content, str) else content

    @model_validator(mode="after")
    def _reads_a_relation(self) -> Self:
        missing = [f"({end})" for end in _ENDS if end not in names_in(self.pattern).nodes]
        if missing:
            raise whole_sentence(
                f"pattern {self.pattern!r} has no node {' and no node '.join(missing)}. Expected a pattern between "
                f"(head) and (tail), such as {_EXAMPLE}."
            )
        for setting in ("pattern", "where"):
            clause = write_clause(getattr(self, setting) or "")
            if clause is not None:
                raise whole_sentence(f"{setting} would change the graph ({clause}). Expected Cypher that only reads.")
        return self


class PropertyRule(SchemaPart):
    """An entry of [knowledge.properties] in kgplug.toml: how the values of a property become entities.

    In kgplug.toml, an entry is "values", "decades", "bands" or { bands = 8 }.
    """

    rule: Literal["values", "decades", "bands"]
    bands: int = Field(default=10, ge=2, le=_MOST_BANDS, description="number of bands, with the rule bands")

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, content: Any) -> Any:
        if isinstance(content, str) and content in _RULES:
            return {"rule": content}
        if isinstance(content, dict) and content.keys() in ({"bands"}, {"rule", "bands"}):
            return {"rule": "bands", **content}
        raise PydanticCustomError("rule", "{expected}", {"expected": '"values", "decades", "bands" or { bands = 8 }'})


class KnowledgeSchema(SchemaPart):
    """Section [knowledge] of kgplug.toml: what to learn from, and the key of each label of the entities."""

    relationships: list[str] = Field(default_factory=list, description="types; empty: all except the feedback")
    exclude: list[str] = Field(default_factory=list, description="labels and types that are never read")
    users: bool = Field(default=True, description="whether users with relationships other than feedback are entities")
    include: list[str] = Field(
        default_factory=list,
        description="labels, types and patterns to read although they repeat the feedback and so are left out by "
        "default",
    )
    keys: dict[str, str] = Field(default_factory=dict, description="label → unique property")
    patterns: dict[str, RelationPattern] = Field(
        default_factory=dict, description="name of a relation → pattern between its heads and tails"
    )
    properties: dict[str, PropertyRule] = Field(
        default_factory=dict, description='"Label.property" → how its values become entities'
    )

    @field_validator("properties", mode="before")
    @classmethod
    def _with_dots(cls, given: Any) -> Any:
        """Join the names of TOML's nested tables: Movie.genres without quotes means {"Movie": {"genres": …}}."""
        if not isinstance(given, dict):
            return given
        joined: dict[str, Any] = {}
        for name, value in given.items():
            if isinstance(value, dict) and all(isinstance(each, dict) or each in _RULES for each in value.values()):
                joined |= {f"{name}.{prop}": rule for prop, rule in cls._with_dots(value).items()}
            else:
                joined[name] = value
        return joined

    @field_validator("properties")
    @classmethod
    def _of_labels(cls, properties: dict[str, PropertyRule]) -> dict[str, PropertyRule]:
        for name in properties:
            if not any(splits_of(name)):
                raise whole_sentence(
                    f'{name!r} does not name a label and a property. Expected, for example, "Movie.genres" = "values".'
                )
        return properties

    @model_validator(mode="after")
    def _with_different_names(self) -> Self:
        both = sorted(self.patterns.keys() & self.properties.keys())
        if both:
            raise whole_sentence(f"patterns and properties both have {both[0]!r}. Rename the pattern.")
        return self

    @model_serializer(mode="wrap")
    def _like_earlier_versions(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what earlier versions do not know, where it is empty."""
        return {name: value for name, value in serialize(self).items() if value or name not in _ADDED}


def splits_of(name: str) -> list[tuple[str, str]]:
    """Return the pairs of label and property that "Label.property" may mean, the longest label first.

    There are several if the label or the property has a dot in its name.
    """
    parts = name.split(".")
    pairs = [(".".join(parts[:place]), ".".join(parts[place:])) for place in range(len(parts) - 1, 0, -1)]
    return [pair for pair in pairs if all(pair)]
