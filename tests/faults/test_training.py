"""Trainings that are killed, run out of disk or of memory, or whose graph changes meanwhile."""

from __future__ import annotations

import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from kgplug import jobs, models
from kgplug.data.artefact import read_artefact
from kgplug.embeddings.training import TripleTask
from kgplug.errors import TrainingError
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.schema import GraphSchema
from kgplug.graph.server.home import Endpoint
from kgplug.recommenders.base import Recommender
from kgplug.recommenders.click_through.tasks import ClickThroughTask
from kgplug.training.runs import Runs
from tests import warm_python
from tests.faults.command import environment, kgplug, sentence
from tests.faults.conftest import fill
from tests.integration.helpers.sample_graphs import FILM_KEYS, FILMS, build
from tests.unit.helpers.planted import directors_and_fans

TRAIN = ("train", "MF", "--split", "1,0,0", "-s", "epochs=60", "-s", "device=cpu")
TASKS = [("TransE", TripleTask), ("MF", ClickThroughTask)]


def checkpoints(home: Path) -> list[Path]:
    return sorted((home / "runs" / ".checkpoints").glob("*.safetensors"))


def trained(home: Path) -> dict[str, np.ndarray]:
    """Return the arrays of the only run of a home."""
    (run,) = Runs(home / "runs").list()
    assert not run.damage
    return read_artefact(run.path)[0]


def equal(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> bool:
    return left.keys() == right.keys() and all(left[name].tobytes() == right[name].tobytes() for name in left)


def start_and_kill(home: Path, endpoint: Endpoint, *arguments: str) -> None:
    """Start a training and SIGKILL it when it has written some checkpoints, in the middle of another as like as not."""
    process = warm_python.Process(*arguments, env=environment(home, endpoint), cwd=home)
    written, deadline = set[int](), time.monotonic() + 120
    while len(written) < 4:
        assert process.poll() is None and time.monotonic() < deadline
        written |= {path.stat().st_mtime_ns for path in checkpoints(home)}
    process.kill()
    process.communicate(60)
    assert process.poll() == -signal.SIGKILL


@FILM_KEYS
def test_a_killed_training_resumed_by_the_same_command_ends_with_the_same_bits(
    connection: Connection, neo4j_server: Endpoint, tmp_path: Path
) -> None:
    build(connection, FILMS)
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    for home in (alone, killed):
        home.mkdir()
    assert kgplug(*TRAIN, home=alone, endpoint=neo4j_server).returncode == 0
    for _ in range(2):
        start_and_kill(killed, neo4j_server, *TRAIN)
    assert Runs(killed / "runs").list() == []
    result = kgplug(*TRAIN, home=killed, endpoint=neo4j_server)
    assert result.returncode == 0, result.stderr
    assert equal(trained(alone), trained(killed))
    assert checkpoints(killed) == []


@FILM_KEYS
def test_a_training_never_resumes_from_another_graphs_checkpoint_and_its_run_is_not_evaluated_there(
    connection: Connection, neo4j_server: Endpoint, tmp_path: Path
) -> None:
    build(connection, FILMS)
    assert kgplug("train", "Popularity", home=tmp_path, endpoint=neo4j_server).returncode == 0
    start_and_kill(tmp_path, neo4j_server, *TRAIN)
    (old,) = checkpoints(tmp_path)
    connection.write("MATCH (m:Movie) SET m.id = m.id + 100")
    result = kgplug("evaluate", "Popularity", home=tmp_path, endpoint=neo4j_server)
    assert "was trained on data that the graph no longer has" in sentence(result)
    assert "Train again, then evaluate." in sentence(result)
    result = kgplug(*TRAIN, home=tmp_path, endpoint=neo4j_server)
    assert result.returncode == 0
    assert "The graph has changed since this training of MF was interrupted. It starts again from the beginning." in (
        result.stderr
    )
    assert not old.exists() and checkpoints(tmp_path) == []
    model = models.load(Runs(tmp_path / "runs").resolve("MF"))
    assert isinstance(model, Recommender) and len(model.history["losses"]) == 60 and min(model.item_keys) == 101


@FILM_KEYS
def test_a_disk_that_fills_up_during_a_training_leaves_the_last_checkpoint_to_resume_from(
    connection: Connection, neo4j_server: Endpoint, tmp_path: Path, small_disk: Callable[[int], Path]
) -> None:
    build(connection, FILMS)
    large = (*TRAIN, "-s", "embedding_dim=4096", "-s", "epochs=3")
    assert kgplug(*large, home=tmp_path, endpoint=neo4j_server).returncode == 0
    home = small_disk(16)
    filling = fill(home, leaving_kb=2100)  # a checkpoint takes 1.4 MB: there is room for one, and none for a second
    result = kgplug(*large, home=home, endpoint=neo4j_server)
    message = sentence(result)
    (kept,) = checkpoints(home)
    assert f"{kept} could not be written: No space left on device. Any previous version is intact." in message
    assert list(kept.parent.iterdir()) == [kept]
    assert Runs(home / "runs").list() == []
    filling.unlink()
    assert kgplug(*large, home=home, endpoint=neo4j_server).returncode == 0
    assert equal(trained(home), trained(tmp_path))
    assert checkpoints(home) == []


@FILM_KEYS
def test_a_file_size_limit_is_reported_in_one_sentence_and_leaves_nothing_half_written(
    connection: Connection, neo4j_server: Endpoint, tmp_path: Path
) -> None:
    build(connection, FILMS)

    def no_large_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    large = (*TRAIN, "-s", "embedding_dim=4096", "-s", "epochs=3")
    result = kgplug(*large, home=tmp_path, endpoint=neo4j_server, limit=no_large_files)
    assert "could not be written: File too large." in sentence(result)
    assert not [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]


OUT_OF_MEMORY = [
    MemoryError("Unable to allocate 1.00 GiB for an array"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: you tried to ..."),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
]


def data() -> jobs.GraphData:
    interactions, knowledge, _, _ = directors_and_fans()
    return jobs.GraphData(GraphSchema(), interactions, knowledge)


def batch_rows(batch: object) -> int:
    triples = getattr(batch, "triples", None)
    return len(batch.users if triples is None else triples)  # type: ignore[attr-defined]


def only_rows(monkeypatch: pytest.MonkeyPatch, task: type, rows: int, error: Exception) -> list[int]:
    """Let memory end in steps of more rows; return what will hold the rows of all steps."""
    step, asked = task.step, []

    def limited(self: object, batch: object) -> torch.Tensor:
        asked.append(batch_rows(batch))
        if asked[-1] > rows:
            raise error
        return step(self, batch)

    monkeypatch.setattr(task, "step", limited)
    return asked


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(("name", "task"), TASKS)
def test_when_memory_runs_out_batches_are_halved_and_the_model_is_that_of_the_smaller_batches(
    name: str, task: type, error: Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    settings = {"embedding_dim": 4, "epochs": 2, "device": "cpu"} | ({"negatives_per_like": 1} if name == "MF" else {})
    small = jobs.train(name, data(), Runs(tmp_path / "a"), settings={**settings, "batch_size": 64}, progress=False)
    asked = only_rows(monkeypatch, task, 64, error)
    folder = jobs.train(name, data(), Runs(tmp_path / "b"), settings={**settings, "batch_size": 256}, progress=False)
    assert max(asked) > 64 >= asked[-1]
    arrays, content = read_artefact(folder)
    assert equal(arrays, read_artefact(small)[0])
    assert content["settings"]["batch_size"] == 64
    assert [record.getMessage() for record in caplog.records if record.name == "kgplug.training.memory"] == [
        f"{name}: not enough memory for batches of 256 rows; training again with 128.",
        f"{name}: not enough memory for batches of 128 rows; training again with 64.",
    ]
    assert list((tmp_path / "b" / ".checkpoints").iterdir()) == []


@pytest.mark.parametrize(("name", "task"), TASKS)
def test_if_no_batch_fits_one_sentence_says_what_to_do_and_nothing_is_left(
    name: str, task: type, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    only_rows(monkeypatch, task, 0, OUT_OF_MEMORY[1])
    with pytest.raises(TrainingError, match=r"even for batches of 32 rows .* Use a smaller embedding_dim") as raised:
        jobs.train(name, data(), Runs(tmp_path), settings={"batch_size": 128, "device": "cpu"}, progress=False)
    assert "\n" not in str(raised.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_training_cut_after_its_batches_were_halved_resumes_with_the_smaller_batches(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = {"embedding_dim": 4, "epochs": 6, "device": "cpu", "batch_size": 128, "negatives_per_like": 1}
    only_rows(monkeypatch, ClickThroughTask, 64, OUT_OF_MEMORY[0])
    whole = jobs.train("MF", data(), Runs(tmp_path / "a"), settings=settings, progress=False)
    batches, epochs, cuts = ClickThroughTask.batches, [], [3]

    def cut(self: ClickThroughTask, epoch: int, rng: np.random.Generator) -> object:
        epochs.append(epoch)
        if epoch in cuts:
            cuts.clear()
            raise KeyboardInterrupt
        return batches(self, epoch, rng)

    monkeypatch.setattr(ClickThroughTask, "batches", cut)
    with pytest.raises(KeyboardInterrupt):
        jobs.train("MF", data(), Runs(tmp_path / "b"), settings=settings, progress=False)
    assert epochs == [0, 0, 1, 2, 3]  # the first, of the batches asked for, does not fit
    epochs.clear()
    folder = jobs.train("MF", data(), Runs(tmp_path / "b"), settings=settings, progress=False)
    assert epochs == [0, 3, 4, 5]
    assert equal(read_artefact(folder)[0], read_artefact(whole)[0])


@FILM_KEYS
def test_a_model_too_large_for_the_machine_is_refused_in_one_sentence(
    connection: Connection, neo4j_server: Endpoint, tmp_path: Path
) -> None:
    build(connection, FILMS)

    def little_memory() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (16 << 30, 16 << 30))

    result = kgplug(
        *TRAIN, "-s", "embedding_dim=2000000000", home=tmp_path, endpoint=neo4j_server, limit=little_memory,
        OMP_NUM_THREADS="1",
    )  # fmt: skip
    message = sentence(result)
    assert "MF with embedding_dim=2000000000 does not fit into memory" in message
    assert "Use a smaller embedding_dim, such as 1000000000, or free some memory." in message
    assert not [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]
