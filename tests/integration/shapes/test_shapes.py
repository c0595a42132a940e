"""Every shape of graph goes from `kgplug init` to recommendations by the command line, as a user would, without edits.

`kgplug init` also lists other feedback; what it writes as comments works when it is uncommented.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from kgplug.cli import app
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.check import check
from kgplug.graph.guessing.schema import Guess
from kgplug.graph.schema import GraphSchema
from kgplug.graph.server.home import Endpoint
from tests.conftest import empty
from tests.integration.shapes.catalogue import SHAPES

pytestmark = pytest.mark.training

_NUMBERED = re.compile(r"# \d+\. ")
_ACTIVE = ("[user]", "[item]", "[[feedback]]")


def kgplug(*arguments: str) -> Result:
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None:
        raise AssertionError((arguments, result.output)) from result.exception
    return result


@pytest.fixture
def home(neo4j_server: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's folder, with the server of the tests in the environment."""
    monkeypatch.setenv("NEO4J_URI", neo4j_server.uri)
    monkeypatch.setenv("NEO4J_PASSWORD", neo4j_server.password.get_secret_value())
    monkeypatch.setenv("KGPLUG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "220")
    monkeypatch.chdir(tmp_path)
    yield tmp_path


def blocks(text: str) -> dict[int, list[str]]:
    """Return number → lines of the other feedback in a file, as they are when their "# " is removed."""
    found: dict[int, list[str]] = {}
    inside = False
    for line in text.splitlines():
        if _NUMBERED.match(line):
            lines, inside = found.setdefault(int(line[2:].partition(".")[0]), []), False
        inside = inside or line.removeprefix("# ") in _ACTIVE
        if found and inside and line.startswith("# "):
            lines.append(line.removeprefix("# "))
    return found


def uncommented(text: str, block: list[str]) -> str:
    """Return a file with a block in use. If the block has its own users and items, the lines above it are comments."""
    if "[user]" not in block:
        return f"{text}\n" + "\n".join(block) + "\n"
    kept, inside = [], False
    for line in text.splitlines():
        if line.startswith("["):
            inside = line in _ACTIVE
        kept.append(f"# {line}" if inside and line else line)
    return "\n".join([*kept, *block]) + "\n"


@pytest.mark.parametrize("name", SHAPES)
def test_a_graph_goes_from_init_to_recommendations_without_edits(
    shared_connection: Connection, home: Path, name: str
) -> None:
    shape = SHAPES[name]
    empty(shared_connection)
    shape.build(shared_connection)
    kgplug("init")
    schema = GraphSchema.load(home / "kgplug.toml")
    checked = json.loads(kgplug("check", "--json").stdout)
    assert not [row for row in checked if row["level"] == "error"]
    kgplug("train", *shape.model)
    kgplug("publish", shape.model[0], "--force")
    if shape.user is None:
        assert "No feedback found" in (home / "kgplug.toml").read_text()
    else:
        found = tuple(kind.pattern or kind.type for kind in schema.feedback)
        assert (schema.user.label, schema.item.label, found) == (shape.user, shape.item, shape.feedback)
        user = _a_key(shared_connection, shape.user, schema.user.key)
        lists = json.loads(kgplug("recommend", user, "--json").stdout)
        assert len(lists) == 10
    item = _a_key(shared_connection, shape.item, schema.item.key)
    assert len(json.loads(kgplug("similar", item, "--json", "-k", "5").stdout)) == 5
    _check_others(shared_connection, home)


def _a_key(connection: Connection, label: str, key: str) -> str:
    query = f"MATCH (n:`{label}`) RETURN n.`{key}` AS key ORDER BY key LIMIT 1"
    return str(connection.rows(query)[0]["key"])


def _check_others(connection: Connection, home: Path) -> None:
    """Check that every other feedback in the file can be used: uncommented, and by its number."""
    text, other = (home / "kgplug.toml").read_text(), home / "other.toml"
    found, guess = blocks(text), Guess.of(connection)
    offered = {1, *found} if guess.options else set()
    assert {guess.options[number - 1].ends for number in offered} == {option.ends for option in guess.options}
    for number, block in found.items():
        other.write_text(uncommented(text, block))
        schema, (again, _) = GraphSchema.load(other), guess.write(number)
        assert not [one for one in check(connection, schema).findings if one.level == "error"]
        assert (again.user, again.item) == (schema.user, schema.item)
        assert {kind.pattern or kind.type for kind in again.feedback} <= {k.pattern or k.type for k in schema.feedback}
