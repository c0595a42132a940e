"""kgplug.toml: what it may say, what is refused, and that any name survives being written to it."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgplug.data.values.times import parts_of_numbers
from kgplug.errors import UsageError
from kgplug.graph.contents import Contents, label_keys, listed, require_label
from kgplug.graph.guessing.toml import comment, entry
from kgplug.graph.guessing.words import USER_WORDS, mentions, words_of
from kgplug.graph.reading.node_ids import ElementIds, NodeRows
from kgplug.graph.schema import FeedbackSchema, GraphSchema, ItemSchema, KnowledgeSchema, UserSchema
from kgplug.jobs.evaluate import _what_to_read as what_to_read

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def write(folder: Path, text: str) -> Path:
    path = folder / "kgplug.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_needs_only_the_entries_that_differ_from_the_defaults(tmp_path: Path) -> None:
    text = '[item]\nlabel = "Music Track"\nkey = "编号"\n[knowledge.keys]\n"a.b" = "id"'
    schema = GraphSchema.load(write(tmp_path, text))
    assert schema == GraphSchema(
        item=ItemSchema(label="Music Track", key="编号"), knowledge=KnowledgeSchema(keys={"a.b": "id"})
    )


def test_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "kgplug.toml").write_bytes(b"\xef\xbb\xbf" + '[user]\nlabel = "Hörer"'.encode())
    assert GraphSchema.load(tmp_path / "kgplug.toml").user.label == "Hörer"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1"])
def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "kgplug.toml").write_bytes('[user]\nlabel = "Hörer"'.encode(encoding))
    with pytest.raises(UsageError, match=r"is not UTF-8 text.*Save it as UTF-8"):
        GraphSchema.load(tmp_path / "kgplug.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[feedback]\ndirection = 'in'",
            r"\[feedback\] direction: expected 'user_to_item' or 'item_to_user', found 'in'",
        ),
        (
            "[item]\nlabl = 'Film'",
            r"\[item\] has no setting labl\. Did you mean label\? The settings .* label, key, where, title",
        ),
        ("[item]\nlabel = 3", r"\[item\] label: expected text in quotes, found 3"),
        ("[item]\nlabel = ''", r"\[item\] label: expected a name, found ''"),
        ("[user]\nwhere = ' // all'", r"\[user\]: where is empty\. Expected a Cypher condition such as"),
        (
            "[item]\nwhere = 'item.a SET item.a = 1'",
            r"\[item\]: where would change the graph \(SET\)\. Expected",
        ),
        ("[item]\nwhere = true", r"\[item\] where: expected text in quotes, found True"),
        ("[feedback]\nlike_threshold = 'four'", r"\[feedback\] like_threshold: expected a number, found 'four'"),
        ("[feedback]\nlike_threshold = false", r"\[feedback\] like_threshold: expected a number, found False"),
        ("[itm]\nlabel = 'Film'", r"no section \[itm\]\. Did you mean item\? The sections are user, item, feedback"),
        ("item = 'Film'", r"Expected a section \[item\], found item = 'Film'"),
        ("[knowledge]\nusers = 'some'", r"\[knowledge\] users: expected true or false, found 'some'"),
        ("[knowledge]\ninclude = 'Order'", r"\[knowledge\] include: expected a list such as .*, found 'Order'"),
        ("[knowledge.keys]\nActor = 3", r"\[knowledge.keys\] Actor: expected text in quotes, found 3"),
        ("[item", "is not valid TOML"),
    ],
)
def test_a_wrong_entry_is_reported_with_what_was_expected_and_found(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        GraphSchema.load(write(tmp_path, text))


@pytest.mark.parametrize("like_threshold", [np.float32(4.1), np.float64(4.1), Decimal("4.1"), "4.1", np.array(4.1)])
def test_a_like_threshold_of_any_number_type_is_the_float_that_it_prints_as(like_threshold) -> None:
    found = FeedbackSchema(like_threshold=like_threshold).like_threshold
    assert found == 4.1 and type(found) is float


OLD_NAME = "[feedback]\nrating = 'stars'\nlike = 4"


def test_a_file_with_the_old_name_of_like_threshold_is_read_with_a_warning(tmp_path: Path) -> None:
    with pytest.warns(DeprecationWarning, match="like under .feedback. is now called like_threshold") as caught:
        schema = GraphSchema.load(write(tmp_path, OLD_NAME))
    assert schema == GraphSchema(feedback=FeedbackSchema(rating="stars", like_threshold=4))
    assert len(caught) == 1 and caught[0].filename == __file__


def test_a_file_with_both_names_of_like_threshold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has like_threshold and like, its old name. Remove like"):
        GraphSchema.load(write(tmp_path, f"{OLD_NAME}\nlike_threshold = 3"))


def test_a_schema_stored_by_version_0_1_is_read_and_has_the_same_fingerprint(recwarn: pytest.WarningsRecorder) -> None:
    stored = GraphSchema().model_dump() | {"feedback": tomllib.loads(OLD_NAME)["feedback"]}
    schema = GraphSchema.model_validate(stored)
    assert schema.feedback[0].like_threshold == 4
    assert not recwarn.list
    assert list(schema.model_dump(by_alias=True)["feedback"]) == [
        "type", "direction", "rating", "timestamp", "time_unit", "repeated", "like",
    ]  # fmt: skip
    split = {"fractions": [0.8, 0.1, 0.1], "seed": 0, "by": "user", "order": "random"}
    for measured_as in ("recommender", "embedding"):
        old, new = ({"kind": measured_as, "schema": each, "split": split} for each in (stored, schema.model_dump()))
        assert what_to_read(old) == what_to_read(new)


def test_the_error_for_a_missing_file_names_the_command_that_writes_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="`kgplug init` writes one"):
        GraphSchema.load(tmp_path / "absent.toml")
    with pytest.raises(UsageError, match="is a folder"):
        GraphSchema.load(tmp_path)


@given(NAMES, NAMES, NAMES)
def test_any_name_and_reason_written_as_toml_reads_back(key: str, value: str, why: str) -> None:
    assert tomllib.loads("\n".join(entry(key, value, why))) == {key: value}
    assert tomllib.loads("\n".join(entry(key, [value, key], why))) == {key: [value, key]}
    assert tomllib.loads("\n".join([*entry(key, None, why), *comment(value)])) == {}


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_any_like_threshold_written_as_toml_reads_back(value: float) -> None:
    assert tomllib.loads("\n".join(entry("like_threshold", value, "why"))) == {"like_threshold": value}


def test_keys_come_from_the_item_then_the_user_then_the_schema_then_constraints() -> None:
    schema = GraphSchema(
        user=UserSchema(label="User"), knowledge=KnowledgeSchema(keys={"Zoo": "name", "Actor": "id", "Movie": "x"})
    )
    unique = {"Actor": ["iri"], "Book": ["isbn", "url"], "User": ["id"]}
    assert list(label_keys(schema, unique).items()) == [
        ("Movie", "id"),
        ("User", "id"),
        ("Actor", "id"),
        ("Zoo", "name"),
        ("Book", "isbn"),
    ]


def test_a_long_list_of_names_is_cut_in_messages() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed(map(str, range(20)), most=2) == "0, 1 and 18 more"
    with pytest.raises(Exception, match="Labels found: none"):
        require_label(Contents("neo4j", {}, {}, {}), "Movie", setting="[item] label")


@pytest.mark.parametrize("unit", [1, 1e3, 1e6, 1e9])
def test_the_unit_of_a_time_follows_from_its_size(unit: float) -> None:
    times = np.array([1_000_000_000.0, 1_714_557_600.0])
    assert parts_of_numbers(times * unit, name="at")[0].tolist() == [1_000_000_000, 1_714_557_600]


def test_names_in_any_style_are_split_into_words() -> None:
    assert words_of("ratedAt") == words_of("RATED_AT") == words_of("rated at") == {"rated", "at"}
    assert mentions("AppUser", USER_WORDS)
    assert mentions("音乐听众", USER_WORDS)
    assert not mentions("Username", USER_WORDS)


@given(st.lists(st.integers(0, 2**60), unique=True), st.lists(st.integers(0, 2**60)))
def test_known_ids_have_their_row_and_unknown_ids_have_minus_one(ids: list[int], others: list[int]) -> None:
    rows = NodeRows(np.array(ids, dtype=np.int64))
    wanted = np.array([*ids, *others], dtype=np.int64)
    expected = [ids.index(one) if one in ids else -1 for one in wanted.tolist()]
    assert rows.of(wanted).tolist() == expected


@given(st.lists(st.text(max_size=3)))
def test_element_ids_keep_their_numbers(texts: list[str]) -> None:
    elements = ElementIds()
    first = elements.encode(np.array(texts, dtype=object))
    assert elements.decode(first) == texts
    assert elements.encode(np.array(texts, dtype=object)).tolist() == first.tolist()
