"""Artefacts: written completely or not at all, and every change is detected."""

from __future__ import annotations

import json
import os
import pickle
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from kgplug.data import artefact
from kgplug.data.artefact import (
    new_run_id,
    peek_content,
    read_artefact,
    read_content,
    write_artefact,
    write_text_whole,
)
from kgplug.errors import RunError

ARRAYS = {"vectors": np.arange(12, dtype=np.float32).reshape(3, 4), "codes": np.array([], dtype=np.int64)}
CONTENT = {"model": "MKR", "keys": [1, 2**70, "é", "\ud800"], "history": {"losses": [0.5]}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_artefact(tmp_path / "run", ARRAYS, CONTENT)
    return tmp_path / "run"


def test_arrays_and_content_survive_a_round_trip_exactly(folder: Path) -> None:
    arrays, content = read_artefact(folder)
    assert content == CONTENT == read_content(folder) == peek_content(folder)
    assert set(arrays) == set(ARRAYS)
    for name, array in arrays.items():
        assert array.dtype == ARRAYS[name].dtype and np.array_equal(array, ARRAYS[name])


def test_one_flipped_bit_in_any_byte_is_detected(folder: Path) -> None:
    files = sorted(folder.iterdir())
    assert [path.name for path in files] == ["arrays.safetensors", "content.json", "manifest.json"]
    for path in files:
        whole = path.read_bytes()
        for byte in range(len(whole)):
            altered = bytearray(whole)
            altered[byte] ^= 1 << byte % 8
            path.write_bytes(altered)
            with pytest.raises(RunError):
                read_artefact(folder)
        path.write_bytes(whole)
    read_artefact(folder)


@pytest.mark.parametrize("name", ["arrays.safetensors", "content.json", "manifest.json"])
@pytest.mark.parametrize("read", [read_artefact, read_content, peek_content])
def test_a_truncated_or_missing_file_is_reported_in_one_sentence(folder: Path, name: str, read) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RunError, match=r"truncated|damaged"):
        read(folder)
    path.unlink()
    with pytest.raises(RunError, match=r"missing|is not a run"):
        read(folder)


def test_a_pickle_is_never_opened(folder: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    (folder / "arrays.safetensors").write_bytes(pickle.dumps(Trap()))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["arrays.safetensors"] |= {
        "bytes": (folder / "arrays.safetensors").stat().st_size,
        "sha256": artefact.sha256_of(folder / "arrays.safetensors"),
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RunError, match=r"cannot be read"):
        read_artefact(folder)
    assert not (tmp_path / "sprung").exists()


def test_a_manifest_cannot_point_outside_its_folder(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["content.json"]["name"] = "../other.json"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RunError, match=r"damaged"):
        read_artefact(folder)


def test_another_format_is_refused_with_the_version_to_use(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(RunError, match=r"expected format 1, found 2"):
        read_artefact(folder)


def test_writing_again_replaces_the_artefact_and_leaves_nothing_behind(folder: Path) -> None:
    for number in range(3):
        write_artefact(folder, {"a": np.array([number])}, {"number": number})
        arrays, content = read_artefact(folder)
        assert content == {"number": number} and arrays["a"] == [number] and set(arrays) == {"a"}
    assert len(list(folder.iterdir())) == 3 and [path.name for path in folder.parent.iterdir()] == ["run"]


def test_a_failed_write_leaves_the_old_artefact_and_no_trace(folder: Path) -> None:
    with pytest.raises(TypeError):
        write_artefact(folder, {"a": np.zeros(1)}, {"not JSON": object()})
    assert read_artefact(folder)[1] == CONTENT and [path.name for path in folder.parent.iterdir()] == ["run"]


def test_a_folder_that_is_not_an_artefact_is_not_changed(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("dear")
    (tmp_path / "file").write_text("x")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "manifest.json").write_text('{"name": "a web site"}')
    for name in ("home", "file", "site"):
        with pytest.raises(RunError):
            write_artefact(tmp_path / name, ARRAYS, CONTENT)
    assert (tmp_path / "home" / "letter.txt").read_text() == "dear" and (tmp_path / "file").read_text() == "x"


REPLACE_FOR_EVER = """
import sys
from pathlib import Path
import numpy as np
from kgplug.data.artefact import write_artefact
number = 0
while True:
    number += 1
    write_artefact(Path(sys.argv[1]), {"a": np.full(20_000, number)}, {"number": number})
    if number == 1:
        print("ready", flush=True)
"""


def _start(script: str, *arguments: object) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)], stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    return process


def test_readers_always_find_a_complete_artefact_even_after_a_kill_during_a_replacement(tmp_path: Path) -> None:
    folder, rng, before = tmp_path / "run", np.random.default_rng(0), 0
    for _ in range(4):
        process = _start(REPLACE_FOR_EVER, folder)
        began, least_s, content = time.monotonic(), 0.2 + 0.1 * rng.random(), {"number": 0}
        while time.monotonic() < began + least_s or content["number"] < 2:  # while the other process replaces it
            assert time.monotonic() < began + 120
            arrays, content = read_artefact(folder)
            assert (arrays["a"] == content["number"]).all()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        arrays, content = read_artefact(folder)
        assert (arrays["a"] == content["number"]).all()
        before += content["number"]
    assert before > 4
    write_artefact(folder, {"a": np.zeros(1)}, {})
    assert len(list(folder.iterdir())) == 3 and [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_failed_write_of_a_text_leaves_the_old_one_and_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "kgplug.toml"
    write_text_whole(path, "old")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))
    try:
        with pytest.raises(OSError, match=r"File too large: .*kgplug\.toml'"):
            write_text_whole(path, "new" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, before)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    write_text_whole(path, "new")
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_run_ids_sort_by_time_and_are_safe_names() -> None:
    ids = {new_run_id("Wide&Deep / Ü") for _ in range(50)}
    assert len(ids) == 50
    assert all(re.fullmatch(r"wide-deep-\d{8}-\d{6}-[0-9a-f]{4}", name) for name in ids)
