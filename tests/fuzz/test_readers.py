"""No input of a user ends in a traceback: CSV folders, schema files, options, run folders, addresses."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

import kgplug
from kgplug.cli import printable
from kgplug.cli.console import SplitBy, SplitOrder, parse_lengths, parse_settings, parse_split
from kgplug.data.artefact import count_numbers, peek_content, read_artefact
from kgplug.data.interactions import Interactions
from kgplug.data.kinds import Kind
from kgplug.data.values.key_text import possible_keys
from kgplug.errors import KgplugError, RunError
from kgplug.graph.bolt import connection as connection_module
from kgplug.graph.bolt.connection import Connection
from kgplug.training.checkpoint import load_checkpoint, save_checkpoint
from kgplug.training.runs import Runs
from tests.fuzz.inputs import csv_files, read_csv_folder, read_schema

pytestmark = pytest.mark.training

PIECES = st.sampled_from(
    ["id", "id:int", "x:float[]", ":LABEL", "a:boolean", ",", ";", "\n", "\r\n", "\r", '"', '""', "1", "-0", "9" * 19,
     "9" * 40, "1e999", "nan", "true", "\ufeff", "\0", "\x85", "\u2028", "'", "\\", "é", "电影", "=1+1", " ", "\t"]
)  # fmt: skip
CSV_BYTES = st.one_of(
    st.binary(max_size=200),
    st.lists(PIECES, max_size=40).map("".join).map(str.encode),
    st.tuples(st.lists(PIECES, max_size=20).map("".join).map(str.encode), st.binary(max_size=5)).map(b"".join),
    st.lists(PIECES, max_size=30).map(lambda pieces: ("id,x:int\n1,2\n" + "".join(pieces)).encode()),
)
LABELS = st.one_of(
    st.just("A"), st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=20)
)
# Wherever text may stand that nobody foresaw.
ODD_TEXT = st.one_of(
    st.text(max_size=80), st.sampled_from(["[" * 100_000, "9" * 5000, "1e9999", "NaN", "\ud800", "-", "0"])
)


@settings(max_examples=500)
@given(CSV_BYTES, CSV_BYTES, LABELS)
@example(b"id\n1\n", b"a,b\n1,1\n", "%FF")
@example(b"id\n1\n", b"a,b\n1,1\n", "A%00")
def test_a_csv_folder_is_read_or_refused(nodes: bytes, relationships: bytes, label: str) -> None:
    if label.startswith(".") or len(label.encode()) > 100:
        label = "A"
    assert printable(read_csv_folder(csv_files(nodes, relationships, label=label))).isprintable()


def test_a_sentence_moves_no_cursor() -> None:
    assert printable("a\x1b[2J\nb é 电影 \ud800") == "a\\x1b[2J\\nb é 电影 \\ud800"


def test_a_good_csv_folder_is_read() -> None:
    assert read_csv_folder(csv_files(b"id:int,t\n1,x\n", b"a:int,b:int\n1,1\n")) == ""


TOML = st.lists(
    st.sampled_from(
        ["[user]\n", "[item]\n", "[feedback]\n", "[knowledge]\n", "[knowledge.keys]\n", "[[user]]\n", "label", "key",
         "title", "like_threshold", "like", "type", "relationships", " = ",
         "= ", '"A"', "'A'", '"', "4.0", "nan", "inf", "-1",
         "9" * 5000, "[", "]", "{", "}", ",", "\n", "1979-05-27", "true", "\\u0000", '"\\u0000"', '"a\\nb"', ".", "#",
         "\r", '""', '"""']
    ),
    max_size=25,
).map("".join)  # fmt: skip


@settings(max_examples=500)
@given(st.one_of(st.binary(max_size=100), TOML.map(str.encode)))
@example(b"a = " + b"[" * 5000)
@example(b"a = " + b"{a=" * 5000)
@example(b"[feedback]\nlike_threshold = " + b"9" * 5000)
@example(b'"a\\nb" = 1')
@example(b"a" + b".a" * 20000 + b" = 1")
def test_a_schema_file_is_read_or_refused(content: bytes) -> None:
    assert "\n" not in read_schema(content)


def test_a_like_that_is_no_number_is_refused() -> None:
    assert read_schema(b"[feedback]\nlike_threshold = 4.0") == ""
    assert "[feedback] like_threshold" in read_schema(b"[feedback]\nlike_threshold = nan")


@pytest.mark.parametrize("path", ["", "a/b", "x" * 300, "x\0y", "file/kgplug.toml"])
def test_a_path_that_is_no_file_or_folder_is_refused(path: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(KgplugError):
        kgplug.GraphSchema.load(path)
    with pytest.raises(KgplugError):
        Runs(tmp_path / "runs").resolve(path)
    with pytest.raises(KgplugError):
        kgplug.load(path)
    from kgplug.data.sources.csv_folder import open_folder

    with pytest.raises(KgplugError):
        open_folder(path)


@settings(max_examples=300)
@given(ODD_TEXT, st.sampled_from(list(Kind)), st.integers())
@example("nan,nan,nan", Kind.RECOMMENDER, 0)
@example("0.8,0.1,0.1", Kind.RECOMMENDER, -1)
@example("1e308,1e308,-1e308", Kind.EMBEDDING, 2**80)
def test_split_is_read_or_refused(text: str, kind: Kind, seed: int) -> None:
    rows = Interactions.from_dataframe(pd.DataFrame({"u": [1, 1, 2], "i": [1, 2, 1]}), user="u", item="i")
    try:
        split = parse_split(kind, text or None, seed=seed, by=SplitBy.user, order=SplitOrder.random)
        split.interactions(rows)
    except KgplugError:
        pass


NAMES = st.one_of(
    st.sampled_from(
        ["embedding_dim", "epochs", "learning_rate", "seed", "self", "name", "cls", "config", "settings", "a b"]
    ),
    st.text(max_size=10),
)


@settings(max_examples=300)
@given(st.lists(st.one_of(ODD_TEXT, st.tuples(NAMES, ODD_TEXT).map("=".join)), max_size=3))
@example(["self=1"])
@example(["name=1"])
@example(["embedding_dim=" + "9" * 5000])
@example(["embedding_dim=" + "[" * 100_000])
def test_set_is_read_or_refused(pairs: list[str]) -> None:
    try:
        chosen = parse_settings(pairs)
        kgplug.create("Popularity", **chosen)
        kgplug.create("BPR", **chosen)
    except KgplugError:
        pass


@given(ODD_TEXT)
@example("1_000")
@example(" 42")
@example("٤٢")
@example("007")
@example(str(2**63))
@example("-0")
def test_a_key_can_be_a_number_only_where_it_is_written_as_one_of_64_bits(text: str) -> None:
    numbers = [key for key in possible_keys(text) if isinstance(key, int)]
    assert text in possible_keys(text)
    assert all(str(key) == text and -(2**63) <= key < 2**63 for key in numbers)
    is_number = re.fullmatch(r"0|-?[1-9][0-9]{0,18}", text) is not None and -(2**63) <= int(text) < 2**63
    assert len(numbers) == is_number


@given(ODD_TEXT)
def test_lengths_are_read_or_refused(text: str) -> None:
    with contextlib.suppress(KgplugError):
        assert all(length >= 1 for length in parse_lengths(text))


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run of a recommender and one of an embedding's size: files of real shape."""
    folder = tmp_path_factory.mktemp("runs") / "bpr-20261125-120000-abcd"
    likes = pd.DataFrame({"u": [1, 1, 2, 2, 3], "i": [1, 2, 2, 3, 1]})
    model = kgplug.create("BPR", epochs=1, embedding_dim=4)
    model.fit(Interactions.from_dataframe(likes, user="u", item="i"), seed=0).save(folder)
    return folder


DAMAGE = st.lists(
    st.one_of(
        st.tuples(st.just("cut"), st.floats(0, 1)),
        st.tuples(st.just("flip"), st.floats(0, 1), st.integers(1, 255)),
        st.tuples(st.just("insert"), st.floats(0, 1), st.binary(min_size=1, max_size=8)),
        st.tuples(
            st.just("replace"), st.sampled_from([b"", b"[]", b"{}", b"[" * 50_000, b"null", b'{"format":1,"files":[]}'])
        ),
    ),
    min_size=1,
    max_size=3,
)

FILE = b'{"name": "a\\u0000", "bytes": 1, "sha256": "x"}'
FORGED = b'{"format": 1, "files": {"arrays.safetensors": ' + FILE + b', "content.json": ' + FILE + b"}}"


def damaged(content: bytes, damage: list) -> bytes:
    """Return content after cuts, flipped bits and insertions."""
    for how, *what in damage:
        if how in ("replace", "rename"):
            content = what[0] if how == "replace" else content.replace(*what)
            continue
        place = int(what[0] * len(content))
        if how == "cut":
            content = content[:place]
        elif how == "insert":
            content = content[:place] + what[1] + content[place:]
        elif place < len(content):
            content = content[:place] + bytes([content[place] ^ what[1]]) + content[place + 1 :]
    return content


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2), DAMAGE)
@example(2, [("replace", FORGED)])
def test_a_damaged_run_is_refused(run: Path, tmp_path: Path, number: int, damage: list) -> None:
    folder = tmp_path / "runs" / run.name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(run, folder)
    path = sorted(folder.iterdir())[number]
    before = path.read_bytes()
    after = damaged(before, damage)
    path.write_bytes(after)
    if after == before or (path.suffix == ".json" and same_json(before, after)):
        return
    for read in (read_artefact, kgplug.load):
        with pytest.raises(RunError):
            read(folder)
    for peek in (peek_content, lambda folder: count_numbers(folder, ("",))):  # the arrays are not hashed
        with contextlib.suppress(RunError):
            peek(folder)
    assert Runs(folder.parent).info(folder).id == folder.name
    Runs(folder.parent).list()


def same_json(before: bytes, after: bytes) -> bool:
    """Tell whether only blanks differ."""
    return before.split() == after.split()


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(DAMAGE)
@example([("rename", b"module.weight", b"module.weighu")])
@example([("rename", b"optimizer.0.1.exp_avg", b"optimizer.0.9.exp_avg")])
@example([("rename", b'"kgplug":"', b'"kgplug":"1')])
def test_a_damaged_checkpoint_is_refused_or_is_what_was_saved(tmp_path: Path, damage: list) -> None:
    import torch

    module = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, module, [optimizer], module.state_dict(), {"losses": [0.5]}, fingerprint="data")
    path.write_bytes(damaged(path.read_bytes(), damage))
    loaded = torch.nn.Linear(3, 2)
    with contextlib.suppress(RunError):
        best, history = load_checkpoint(path, loaded, [torch.optim.Adam(loaded.parameters())], fingerprint="data")
        assert history == {"losses": [0.5]}
        for name, tensor in module.state_dict().items():
            assert torch.equal(loaded.state_dict()[name], tensor) and torch.equal(best[name], tensor)


@given(DAMAGE)
@example([("replace", b"[1]")])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_figures_of_an_evaluation_are_refused(tmp_path: Path, damage: list) -> None:
    from kgplug.jobs import evaluation_of

    (tmp_path / "evaluation.json").write_bytes(damaged(b'{"AUC": 0.5}', damage))
    with contextlib.suppress(RunError):
        assert isinstance(evaluation_of(tmp_path), dict)


@pytest.fixture(scope="module")
def listener():
    """A port that takes connections and never says a word of Bolt; no name but localhost is looked up."""
    look_up = socket.getaddrinfo

    def known(host, *rest, **more):
        if host not in ("127.0.0.1", "localhost", "::1"):
            host.encode("idna") if isinstance(host, str) else None
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return look_up(host, *rest, **more)

    class Silent:
        def __init__(self, *_: object, **__: object) -> None: ...
        def close(self) -> None: ...

    with pytest.MonkeyPatch.context() as patch, socket.create_server(("127.0.0.1", 0)) as server:
        patch.setattr(socket, "getaddrinfo", known)
        patch.setattr(connection_module, "_CONNECTION_TIMEOUT_S", 0.2)
        server.settimeout(0.01)
        yield server


URI_PIECES = st.sampled_from(
    ["bolt", "neo4j", "+s", "+ssc", "://", ":", "/", "//", "@", "[", "]", "::1", "127.0.0.1", "localhost", "7687", "0",
     "65536", "-1", "?", "a=b", "a=c", "&", "#", "%00", "\0", "\n", " ", "é", "x" * 70, ".", "..", "user", "9" * 5000]
)  # fmt: skip


@settings(max_examples=400)
@given(st.one_of(st.text(max_size=60), st.lists(URI_PIECES, max_size=12).map("".join),
                 st.lists(URI_PIECES, max_size=4).map(lambda pieces: "bolt://" + "".join(pieces)),
                 st.lists(URI_PIECES, max_size=4).map(lambda pieces: "neo4j+s://" + "".join(pieces))))  # fmt: skip
@example("bolt://" + "x" * 70)
@example("bolt://\0")
@example("neo4j://localhost:1?a=b&a=c")
@example("neo4j://localhost:1?=b")
@example("neo4j://localhost:1?address=x")
@example("bolt://localhost:1?a=b")
@example("bolt://localhost:99999")
def test_an_address_is_used_or_refused(listener, uri: str) -> None:
    with pytest.raises(KgplugError) as raised:
        Connection.open(uri, password=SecretStr("x"))
    assert "\n" not in str(raised.value)


@given(
    st.text(max_size=40), st.sampled_from(["?a=b&a=c", "?=b", "?address=x", "?a", "?", "/x", "#x", "?a=%ff", "?a=b;c"])
)
def test_what_follows_the_port_is_used_or_refused(listener, tail: str, query: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection_module, "_probe", lambda *_: None)
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        for scheme in ("bolt", "neo4j"):
            with pytest.raises(KgplugError):
                Connection.open(f"{scheme}://127.0.0.1:{port}{query}{tail}", password=SecretStr("x"))


@given(st.lists(st.floats(width=32, allow_nan=False), max_size=3))
def test_the_fuzzer_damages_what_it_is_given(numbers: list[float]) -> None:
    content = np.array(numbers, dtype=np.float32).tobytes() + b"."
    assert damaged(content, [("flip", 0.0, 1)]) != content
    assert damaged(content, [("cut", 0.0)]) == b""
