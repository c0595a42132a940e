"""The command line's output fits every encoding, and no word, number or command in it is cut."""

from __future__ import annotations

import os
import pty
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import kgplug
from kgplug.cli import console
from kgplug.data.artefact import write_artefact
from kgplug.graph.publishing.removing.erase import EraseReport
from kgplug.graph.publishing.report import PublishReport
from kgplug.jobs.erase_user import Erasure
from kgplug.plain_text import counted, encodable, printable
from kgplug.training.runs import Runs
from tests.unit.helpers.printed import printed
from tests.unit.helpers.strictly import strictly

RUN = "mkr-20260101-000000-ab12"
COMMANDS = (("--help",), ("publish", "--help"), ("models",), ("runs",), ("cypher",), ("cypher", "recommend"))
ODD = pd.DataFrame(
    {
        "title": ["Amélie → 2", "千と千尋の神隠し", "two\nlines\x1b[2J", "caf\udce9"],
        "share": ["2629 / 838", "1 / 2", "–", "✓"],
        "proper / ties_s": [1.25, float("nan"), 3.5, 4.0],
        "path": [["a", "b"], None, "x" * 300, "y z"],
    }
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("KGPLUG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    facts = {"model": "MKR", "kind": "recommender", "metrics": {"AUC (validation)": 0.9123}, "seconds": 12.5}
    write_artefact(Runs(tmp_path / "runs").path(RUN), {"x": np.zeros(1)}, facts)
    return None


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "cp437", "gbk", "utf-8", "utf-16"])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_encoding_shows_every_command(command: tuple[str, ...], encoding: str) -> None:
    result = printed(*command, encoding=encoding)
    assert (result.code, result.err) == (0, "")
    assert result.out.strip()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_is_the_same_in_every_encoding(encoding: str) -> None:
    assert strictly(printed("models", "--json", encoding=encoding).out) == strictly(printed("models", "--json").out)


def test_signs_get_plain_replacements_and_letters_lose_their_accents() -> None:
    assert encodable("✓ Amélie → 2 × … – “x” ─│┌╋ Ł", "ascii") == 'ok Amelie -> 2 x ... - "x" -|++ \\u0141'
    assert encodable("Amélie → ✓", "latin-1") == "Amélie -> ok"
    assert encodable("千 \udce9", "utf-8") == "千 \\udce9"


def test_text_for_one_line_has_no_control_characters_and_keeps_wide_spaces() -> None:
    assert printable("a\nb\x1b[2J\u2028c\u3000d\u00a0é") == "a\\nb\\x1b[2J\\u2028c d é"


def test_one_thing_is_counted_in_the_singular() -> None:
    assert [counted(n, "node") for n in (0, 1, 2000)] == ["0 nodes", "1 node", "2,000 nodes"]
    assert [counted(n, "entity", plural="entities") for n in (1, 2)] == ["1 entity", "2 entities"]
    frame = pd.DataFrame({"u": [1], "i": [1]})
    assert repr(kgplug.Interactions.from_dataframe(frame, user="u", item="i")) == "Interactions(1 row, 1 user, 1 item)"
    triples = kgplug.KnowledgeGraph.from_dataframe(pd.DataFrame({"head": [1], "relation": ["R"], "tail": [2]}))
    assert repr(triples) == "KnowledgeGraph(2 entities, 1 relation, 1 triple)"
    found = str(Erasure(EraseReport(1, 1, ["v"], "q", (1, []), (1, ["v"])), runs=["a"], elsewhere=1, checkpoints=1))
    assert "1 edge and 1 vector removed" in found and "removed from 1 run on" in found and "1 run of other" in found
    assert "1 file or folder of unfinished trainings" in found and "It found 1 edge and 1 vector before" in found
    report = PublishReport("MKR", "mkr-2", lists=1, edges=1, similar=1, similar_edges=1)
    report.vectors_skipped, report.skipped_keys = 1, ["Film 1"]
    assert not re.search(r"\b1 \w+s\b", str(report).partition("\n")[2])


def shown(frame: pd.DataFrame, capsys: pytest.CaptureFixture[str], **options: str) -> list[str]:
    console.print_frame(frame, as_json=False, **options)
    return re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()


def test_without_a_terminal_a_row_of_any_length_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    title = "Recommended to a user whose key is longer than the whole of a line of eighty columns, as some keys are"
    lines = shown(ODD, capsys, title=title)
    assert lines[0] == title
    assert len(lines) == 1 + 4 + len(ODD)
    (row,) = [line for line in lines if "x" * 300 in line]
    assert "two\\nlines\\x1b[2J" in row
    assert any("2629 / 838" in line and "Amélie → 2" in line for line in lines)
    assert any("proper / ties_s" in line for line in lines)


def test_columns_stay_aligned_where_signs_are_replaced() -> None:
    lines = printed("models", encoding="ascii").out.splitlines()[1:]
    assert len({len(line) for line in lines}) == 1


def as_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console.out, "_width", columns)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)


@pytest.mark.parametrize("columns", [20, 80])
def test_a_table_too_wide_for_the_terminal_is_one_block_per_row(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    as_terminal(columns, monkeypatch)
    lines = shown(ODD, capsys)
    assert "share: 2629 / 838" in lines and "proper / ties_s: 1.2500" in lines and f"path: {'x' * 300}" in lines
    assert lines.count("") == len(ODD) - 1


def test_a_table_that_fits_the_terminal_keeps_its_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    as_terminal(20, monkeypatch)
    assert any("┃ a ┃ b ┃" in line for line in shown(pd.DataFrame({"a": [1], "b": [2]}), capsys))


@pytest.mark.parametrize("columns", [20, 80])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_word_of_any_command_is_broken(command: tuple[str, ...], columns: int) -> None:
    whole, narrow = (set(re.findall(r"[\w./-]+", printed(*command, columns=width).out)) for width in (None, columns))
    assert not {word for word in narrow - whole if any(word in known for known in whole)}


def on_terminal(*arguments: str, columns: int, home: Path) -> str:
    """Run a command on a pseudo-terminal."""
    import fcntl
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    code = "import sys; sys.argv[0] = 'kgplug'; from kgplug.cli import main; main()"
    command = [sys.executable, "-c", code, *arguments]
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=home, env={**environment, "KGPLUG_HOME": str(home)}
    )
    os.close(theirs)
    text = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:
            break
        if not part:
            break
        text += part
    assert process.wait(120) == 0
    os.close(ours)
    return re.sub(r"\x1b\[[0-9;]*m", "", text.decode())


@pytest.mark.parametrize("columns", [20, 120])
def test_a_real_terminal_shows_names_and_numbers_whole(columns: int, tmp_path: Path) -> None:
    shown = on_terminal("runs", columns=columns, home=tmp_path)
    assert RUN in shown and "AUC (validation) 0.9123" in shown
    assert ("metrics: AUC" in shown) == (columns == 20)


@pytest.mark.parametrize(
    "environment", [{"PYTHONIOENCODING": "latin-1"}, {"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}]
)
def test_another_encoding_causes_no_traceback(environment: dict[str, str], tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", "from kgplug.cli import main; main()", "models"],
        capture_output=True, env={**os.environ, **environment}, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert (result.returncode, result.stderr) == (0, b"")
