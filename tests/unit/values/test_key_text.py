"""A key typed as text gets the type of the stored key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgplug.cli.keys import with_negative_key
from kgplug.data.values.key_text import FoundKey, choose_key, possible_keys


@pytest.mark.parametrize(
    ("text", "stored", "expected"),
    [
        ("42", [41, 42], 42),
        ("42", ["41", "42"], "42"),
        ("42", [42.0], 42),
        ("42.0", [42.0], 42),
        ("42.0", [42], None),
        ("42.0", ["42.0"], "42.0"),
        ("007", [7], None),
        ("007", ["007", "7"], "007"),
        ("7", ["007"], None),
        ("1e3", [1000], None),
        ("1e3", ["1e3"], "1e3"),
        (" 42", [42], None),
        (" 42", [" 42"], " 42"),
        ("-1", [-1], -1),
        ("-1", ["-1"], "-1"),
        ("-0", [0], None),
        ("٤٢", [42], None),
        ("٤٢", ["٤٢"], "٤٢"),
        ("1_000", [1000], None),
        (str(2**63 - 1), [2**63 - 1], 2**63 - 1),
        (str(2**63), [str(2**63)], str(2**63)),
        ("True", [True, 1], None),
        ("1", [True], None),
        ("", [""], ""),
        ('"42"', [42, "42"], "42"),
        ('"42"', [42], None),
        ('"42"', ['"42"', "42"], '"42"'),
        ("nan", [float("nan")], None),
    ],
)
def test_the_stored_key_decides_the_type_of_a_text(text: str, stored: list, expected: object) -> None:
    found = choose_key(text, stored)
    assert (None if found is None else found.key) == expected
    assert found is None or type(found.key) is type(expected)


def test_a_number_takes_precedence_over_a_text_that_is_written_the_same_and_the_text_is_reported() -> None:
    found = choose_key("42", ["42", 42])
    assert found == FoundKey(42, "42")
    assert "the number 42 and the text '42'" in found.note("User")
    assert FoundKey(42).note("User") == ""


def test_a_negative_key_is_not_taken_for_an_option() -> None:
    assert with_negative_key(["recommend", "-1", "--k", "5"]) == ["recommend", "--k", "5", "--", "-1"]
    assert with_negative_key(["--quiet", "erase-user", "-1"]) == ["--quiet", "erase-user", "--", "-1"]
    for words in (["recommend", "7", "--k", "-1"], ["recommend", "-k", "5", "7"], ["similar", "--", "-1"], ["check"]):
        assert with_negative_key(words) == words


@given(st.one_of(st.text(), st.integers(-(2**63), 2**63 - 1)))
def test_a_printed_key_finds_the_key(key: int | str) -> None:
    found = choose_key(str(key), [key])
    assert found is not None
    assert (type(found.key), found.key) == (type(key), key)
    assert key in possible_keys(str(key))
