"""What the README shows is what a user gets."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from kgplug.graph.graph import Graph
from tests.demo.conftest import BARE_ID, Demo

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def steps(text: str) -> list[str]:
    """Return the titles of the ended steps, in order."""
    return re.findall(r"^✓ (.*?) \(\d+\.\d s\)", text, re.MULTILINE)


def test_the_shown_demo_is_an_excerpt_of_the_real_one(demo: Demo) -> None:
    (shown,) = blocks("console")
    left = iter(steps(demo.output))
    assert len(steps(shown)) >= 5
    assert all(step in left for step in steps(shown))  # in this order


def test_the_shown_lists_are_those_of_the_real_demo(demo: Demo) -> None:
    (shown,) = blocks("console")
    assert "MKR recommends to user 42" in shown
    assert "MKR recommends to user 42" in demo.output
    rows = re.findall(r"^│ +\d+ │.*$", shown, re.MULTILINE)
    assert len(rows) >= 3
    assert {row.count("│") for row in rows} == {6}  # rank, id, title, score, because
    assert not BARE_ID.search(README)


def test_the_shell_commands_run(demo: Demo, tmp_path: Path) -> None:
    (shown,) = blocks("bash")
    commands = [shlex.split(line, comments=True) for line in shown.splitlines()]
    kgplug_commands = [words[1:] for words in commands if words and words[0] == "kgplug"]
    assert [words[0] for words in kgplug_commands] == [
        "init", "check", "train", "evaluate", "train", "publish", "recommend",
    ]  # fmt: skip
    for words in kgplug_commands:
        extra = ["--set", "epochs=2"] if words[0] == "train" else []
        result = demo.kgplug(*words, *extra, cwd=tmp_path)
        assert result.returncode == 0, (words, result.stderr)
        assert result.stdout


def test_the_cypher_gives_ten_films(demo_graph: Graph) -> None:
    (shown,) = blocks("cypher")
    assert len(demo_graph.query(shown)) == 10


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_the_python_blocks_run(
    number: int, demo: Demo, demo_graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    result = demo.kgplug("init", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    code = blocks("python")[number].replace('create("MKR", ', 'create("MKR", epochs=2, ')
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out
