"""Which keys people can read, and how a node without a readable name is described."""

from __future__ import annotations

import pytest

from kgplug.graph.naming import description_of, is_readable, readable_name_of, with_article
from kgplug.graph.schema import GraphSchema, ItemSchema, KnowledgeSchema
from tests.unit.helpers.readable_keys import OPAQUE, READABLE

SCHEMA = GraphSchema(item=ItemSchema(title="title"), knowledge=KnowledgeSchema(keys={"Person": "id", "Genre": "name"}))


@pytest.mark.parametrize("key", OPAQUE)
def test_a_uuid_a_long_number_a_hash_or_the_like_is_not_readable(key: object) -> None:
    assert not is_readable(key)


@pytest.mark.parametrize("key", READABLE)
def test_words_and_short_numbers_are_readable(key: object) -> None:
    assert is_readable(key)


def test_a_list_is_not_readable() -> None:
    assert not is_readable(["Comedy"])


@pytest.mark.parametrize(
    ("labels", "properties", "name"),
    [
        (["Person"], {"id": "m.0hcgq2b", "name": "Tom Hanks"}, "Tom Hanks"),
        (["Person"], {"id": "m.0hcgq2b"}, None),
        (["Person"], {"id": "m.0hcgq2b", "code": "TH"}, "TH"),
        (["Genre"], {"name": "Comedy"}, "Comedy"),
        (["Genre"], {"name": "m.05p553"}, None),
        (["Movie"], {"id": 123456, "title": "1234567"}, "1234567"),
        (["Movie"], {"id": 123456}, None),
        (["Movie"], {"id": 12}, 12),
        (["Town"], {}, None),
    ],
)
def test_a_title_is_always_a_name_but_a_key_only_if_people_can_read_it(
    labels: list[str], properties: dict[str, object], name: object
) -> None:
    assert readable_name_of(SCHEMA, labels, properties) == name


@pytest.mark.parametrize(
    ("labels", "types", "words"),
    [
        (["Person", "Actor", "Director"], ("ACTED_IN", "ACTED_IN"), "actor"),
        (["Person", "Actor", "Director"], ("DIRECTED",), "director"),
        (["Person", "Actor", "Director"], ("ACTED_IN", "DIRECTED"), "person"),
        (["Person", "Cinematographer"], ("FILMED", "FILMED"), "person"),
        (["ProductionCompany"], ("MADE_BY", "MADE_BY"), "production company"),
        (["film_genre"], (), "film genre"),
        (["演员"], ("出演",), "演员"),
        ([], ("LIKES",), "node"),
    ],
)
def test_a_node_is_described_by_the_label_that_fits_its_relationships(
    labels: list[str], types: tuple[str, ...], words: str
) -> None:
    assert description_of(SCHEMA, labels, types) == words


def test_the_article_fits_the_word() -> None:
    words = ("actor", "director", "award", "university", "user", "uncle", "other film", "演员")
    assert list(map(with_article, words)) == [
        "an actor", "a director", "an award", "a university", "a user", "an uncle", "an other film", "演员",
    ]  # fmt: skip
