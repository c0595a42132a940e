"""Measure runs on their test sets, as far as the graph still holds them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kgplug.data.artefact import read_content, write_text_whole
from kgplug.data.kinds import Kind
from kgplug.errors import DataError, KgplugError, RunError, UsageError
from kgplug.graph.graph import Graph
from kgplug.graph.identity import graph_identity
from kgplug.graph.schema import GraphSchema
from kgplug.jobs.data import evaluation_of, refuse_other_graph
from kgplug.jobs.health import joined, keep
from kgplug.jobs.measured_rows import TEST_ROWS, MeasuredRun, TestRows
from kgplug.progress import stage
from kgplug.strict_json import dumps
from kgplug.training.runs import EVALUATION

if TYPE_CHECKING:
    import pandas as pd


def evaluate(
    graph: Graph,
    folders: Sequence[Path],
    *,
    k: Iterable[int] = (10, 20),
    beyond: bool = False,
    on_failure: Callable[[Path, KgplugError], None] | None = None,
    progress: bool | None = None,
) -> dict[str, pd.DataFrame]:
    """Measure runs on the rows of the graph that they remember as their test sets.

    Rows that the graph no longer holds are counted and skipped, and rows that came since are not test rows. Several
    runs of one kind are measured on the same rows: those that are in the test set of at least one of them, and in the
    training or validation set of none. Where there is no such row, each is measured on its own test set. A run that
    has learnt all rows (`train(final=True)`) has the figures of the run it comes from. The figures are kept in the
    run folders.

    Args:
        graph: that the runs were trained on.
        folders: of the runs.
        k: lengths of lists.
        beyond: measure of recommenders what `kgplug.evaluation.beyond_accuracy` knows, too.
        on_failure: is given each run that cannot be measured, with the reason; by default the first one is raised.
        progress: show a bar while the graph is read; None shows it on a terminal.

    Returns:
        One table per kind of model ("recommender", "embedding") with one row per run. "test rows" is the number of
        rows that a run was measured on, "gone" the number of rows of its own test set that the graph no longer holds.
        `table.attrs["notes"]` has sentences on how the rows were chosen, `table.attrs["health"]` on dead models.

    Raises:
        RunError: a run is damaged, of another graph, or nothing of its test set is left.
        DataError: a run has no test set.
    """
    work = _Work(graph, folders, on_failure)
    for folder in folders:
        work.add(folder)
    for group in work.groups.values():
        work.measure(group, k=tuple(k), beyond=beyond, progress=progress)
    return work.tables()


class _Work:
    """What `evaluate` has found out so far.

    Attributes:
        groups: what has to be read from the graph → the runs that are measured on it.
    """

    def __init__(
        self, graph: Graph, folders: Sequence[Path], on_failure: Callable[[Path, KgplugError], None] | None
    ) -> None:
        self.graph, self.folders, self.on_failure = graph, folders, on_failure
        self.here = graph_identity(graph.connection, None)
        self.groups: dict[str, list[MeasuredRun]] = {}
        self._asked_for: dict[Path, list[Path]] = {}  # a run that is measured → the runs that get its figures
        self._tables: dict[str, list[pd.DataFrame]] = {}
        self._notes: dict[str, list[str]] = {}

    def add(self, folder: Path) -> None:
        """Look at a run that was named."""
        try:
            content = read_content(folder)
            if not {"schema", "split", "data"} <= content.keys():
                raise RunError(
                    f"Run {folder.name} does not say which rows it was trained on, so it has no test set. Train with "
                    "`kgplug train`."
                )
            refuse_other_graph(self.here, folder, content)
            self._notes.setdefault(content["kind"], [])
            measured, content = _origin_of(folder, content)
            if measured is None:
                self._keep(content["kind"], _row(evaluation_of(folder), folder.name))
            elif measured in self._asked_for:
                self._asked_for[measured].append(folder)
            else:
                self._asked_for[measured] = [folder]
                self.groups.setdefault(_what_to_read(content), []).append(MeasuredRun(measured, content))
            if measured != folder:
                self._notes[content["kind"]].append(
                    _final_note(folder, content["origin"] if measured is None else measured.name)
                )
        except KgplugError as error:
            self._fail(folder, error)

    def measure(self, group: list[MeasuredRun], *, k: tuple[int, ...], beyond: bool, progress: bool | None) -> None:
        """Measure runs on the same rows of the graph, and keep their figures."""
        kind = group[0].content["kind"]
        try:
            rows: TestRows = TEST_ROWS[kind](self.graph, group, progress)
        except (DataError, UsageError) as error:  # the graph holds nothing that these runs are about
            for run in group:
                text = f"Run {run.folder.name} cannot be measured: {error.found} Train again on this graph."
                self._fail_all(run, RunError(text))
            return
        for run, error in rows.recall():
            self._fail_all(run, error)
        self._notes[kind] += rows.notes
        for run in rows.runs:
            try:
                with stage(f"Evaluating {run.folder.name}", progress=progress):
                    table = rows.measure(run, k, beyond)
            except KgplugError as error:
                self._fail_all(run, error)
                continue
            health = table.attrs.get("health", {}).get(run.folder.name, [])
            for folder in {run.folder, *self._asked_for[run.folder]}:
                keep(folder, health)
                write_text_whole(folder / EVALUATION, dumps(table.iloc[0]))
            for folder in dict.fromkeys(self._asked_for[run.folder]):
                own = table.rename(index={run.folder.name: folder.name})
                own.attrs = {"health": {folder.name: health} if health else {}}
                self._keep(kind, own)

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return one table per kind of model, in the order in which the runs were named."""
        place = {folder.name: number for number, folder in reversed(list(enumerate(self.folders)))}
        found = {}
        for kind, parts in self._tables.items():
            table = joined(parts)
            health = table.attrs["health"]
            table = table.iloc[np.argsort([place[name] for name in table.index], kind="stable")]
            table.attrs = {"health": health, "notes": self._notes[kind]}
            found[kind] = table
        return found

    def _keep(self, kind: str, table: pd.DataFrame) -> None:
        self._tables.setdefault(kind, []).append(table)

    def _fail(self, folder: Path, error: KgplugError) -> None:
        if self.on_failure is None:
            raise error
        self.on_failure(folder, error)

    def _fail_all(self, run: MeasuredRun, error: KgplugError) -> None:
        for folder in dict.fromkeys(self._asked_for[run.folder]):
            self._fail(folder, error)


def _what_to_read(content: dict) -> str:
    """Return what has to be read from the graph for a run: runs with the same text are measured on the same rows."""
    schema = GraphSchema.model_validate(content["schema"]).model_dump()
    schema["item"].pop("title")
    if content["kind"] == Kind.RECOMMENDER:
        del schema["knowledge"]
        for name in ("like_threshold", "timestamp"):  # do not change which rows there are
            schema["feedback"].pop(name, None)
    return dumps([content["kind"], schema], sort_keys=True)


def _origin_of(folder: Path, content: dict) -> tuple[Path | None, dict]:
    """Return (the run whose test set stands for this run's, its content): the run itself, or where a final run is from.

    The folder is None where the origin is not on this machine, but has left its figures.
    """
    origin = content.get("origin")
    if not origin:
        return folder, content
    try:
        return folder.parent / origin, read_content(folder.parent / origin)
    except RunError as error:
        if evaluation_of(folder):
            return None, content
        raise RunError(
            f"Run {folder.name} has learnt all rows, so it has no test set of its own, and the run it comes from, "
            f"{origin}, cannot be measured. {error}"
        ) from None


def _row(figures: dict[str, float], name: str) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame([figures], index=[name])


def _final_note(folder: Path, origin: str) -> str:
    return (
        f"Run {folder.name} has learnt all rows, so it has no test set of its own: its figures are those of run "
        f"{origin}, which chose its settings and epochs."
    )
