"""The options of a publish: one object, checked once, from any caller."""

from __future__ import annotations

import inspect
import re
import shlex
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from kgplug import jobs
from kgplug.cli import app
from kgplug.errors import UsageError
from kgplug.graph.graph import Graph
from kgplug.graph.publishing.options import ListOptions, OptionsByName, PublishOptions, with_options


def test_options_given_by_name_change_those_of_the_object() -> None:
    assert with_options(None, {}) == PublishOptions()
    assert with_options(None, {"k": 20, "diversity": 0.3}) == PublishOptions(k=20, diversity=0.3)
    given = PublishOptions(k=20, where="item.year > 1990")
    assert with_options(given, {}) is given
    assert with_options(given, {"k": 5}) == PublishOptions(k=5, where="item.year > 1990")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"k": 0}, "k: expected a whole number of at least 1, found 0"),
        ({"k": True}, "k: expected a whole number"),
        ({"similar": 0}, "similar: expected a whole number of at least 1"),
        ({"similar_label": "Movie"}, "similar_label='Movie' needs similar"),
        ({"seen": "test"}, 'seen: expected "all", "train" or "none"'),
        ({"where": " "}, "where: expected a Cypher predicate on item"),
        ({"labels": "Movie"}, r"labels: expected a list of labels, such as \['Movie'\]"),
        ({"diversity": 2}, "diversity: expected a number from 0"),
        *(
            ({"name": name}, "needs a name of printable text")
            for name in ("", " ", " films", "films ", "a\nb", "a\0b", "a`b", "-films", "f" * 101, 7)
        ),
    ],
)
def test_a_wrong_option_is_refused_when_it_is_given(given: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        PublishOptions(**given)
    with pytest.raises(UsageError, match=message):
        Graph(None).publish(object(), **given)  # type: ignore[arg-type]


def test_what_is_not_an_option_is_refused() -> None:
    with pytest.raises(TypeError, match=r"publish has no option 'tpo'\. Options: .*\bk\b"):
        with_options(None, {"tpo": 3})
    with pytest.raises(UsageError, match=r"options: expected PublishOptions, such as .*; found 20"):
        with_options(20, {})  # type: ignore[arg-type]


def test_names_of_earlier_versions_work_and_warn() -> None:
    with pytest.warns(DeprecationWarning, match="top is now called k"):
        assert with_options(None, {"top": 4}) == PublishOptions(k=4)
    with pytest.warns(DeprecationWarning, match="options of lists by name"):
        found = with_options(None, {"lists": ListOptions(seen="none", labels=("Classic",))})
    assert found == PublishOptions(seen="none", labels=("Classic",))


def test_every_function_that_publishes_shows_and_takes_the_same_options() -> None:
    names = [each.name for each in fields(PublishOptions)]
    assert set(OptionsByName.__annotations__) == set(names)
    for function in (Graph.publish, Graph.preview, jobs.publish, jobs.preview):
        shown = inspect.signature(function).parameters
        assert list(shown)[-len(names) :] == names
        assert shown["k"].default == 10


def test_options_that_the_catalogue_kept_come_back() -> None:
    embedding = SimpleNamespace(name="TransE", run="transe-1", vectors_of=lambda keys, label="": keys)
    options = PublishOptions(
        k=4, similar=2, similar_label="Movie", seen="none", where="item.id <= 9", labels=("A", "B"), diversity=0.3,
        diverse_by=embedding, keep_previous=False, force=True,
    )  # fmt: skip
    kept = options.to_details(with_lists=True)
    assert PublishOptions.from_details(kept, load={"transe-1": embedding}.__getitem__) == options


def test_options_that_version_0_1_0_kept_come_back() -> None:
    details = {
        "publish": {"similar": 3, "similar_label": "Movie", "keep_previous": True, "force": False},
        "lists": {"top": 7, "seen": "train", "where": None, "labels": ["A"], "diversity": 0.0, "diverse_by": None},
    }
    expected = PublishOptions(k=7, similar=3, similar_label="Movie", seen="train", labels=("A",))
    assert PublishOptions.from_details(details, load=Path) == expected  # type: ignore[arg-type]
    assert PublishOptions.from_details({}, load=Path) == PublishOptions()  # type: ignore[arg-type]


def test_the_command_line_knows_every_command_of_the_page_on_publishing() -> None:
    page = (Path(__file__).parents[3] / "docs" / "howto" / "publish.md").read_text(encoding="utf-8")
    lines = [shlex.split(line, comments=True) for line in re.findall(r"^kgplug .*$", page, re.MULTILINE)]
    commands = get_command(app)
    assert isinstance(commands, TyperGroup) and len(lines) > 5
    for _, name, *arguments in lines:
        assert commands.commands[name].make_context(name, arguments).params
