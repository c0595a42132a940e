"""Measure runs on the test rows that the graph still has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kgplug.data.artefact import read_content, write_text_whole
from kgplug.data.kinds import Kind
from kgplug.errors import DataError, KgplugError, RunError, UsageError
from kgplug.evaluation.metrics.catalogue import SORTED_BY
from kgplug.evaluation.ranking import check_lengths
from kgplug.evaluation.significance import Difference, compare_by_user, differences, intervals_by_user
from kgplug.graph.graph import Graph
from kgplug.graph.identity import graph_identity
from kgplug.graph.schema import GraphSchema
from kgplug.jobs.data import evaluation_of, refuse_other_graph, split_of
from kgplug.jobs.health import joined, keep
from kgplug.jobs.measured_rows import ROWS_OF_KIND, MeasuredRun, TestRows
from kgplug.progress import stage
from kgplug.strict_json import dumps
from kgplug.training.runs import EVALUATION

if TYPE_CHECKING:
    import pandas as pd


def evaluate(
    graph: Graph,
    run_dirs: Sequence[Path],
    *,
    k: Iterable[int] = (10, 20),
    beyond: bool = False,
    pairs: Sequence[tuple[Path, Path]] | None = None,
    intervals: bool = False,
    on_failure: Callable[[Path, KgplugError], None] | None = None,
    progress: bool | None = None,
) -> dict[str, pd.DataFrame]:
    """Measure runs on their test sets and save the metrics in the run folders.

    Test rows (feedback or triples) that the graph no longer has are counted and skipped; rows added since the training
    are not test rows. Several runs of one kind are measured on the same rows: those in the test set of at least one
    run, and in no run's training or validation set. If there are no such rows, each run is measured on its own test
    set. A run trained on all rows (`train(final=True)`) gets the metrics of its origin, the earlier run that chose its
    settings.

    Recommenders that are measured on the same rows are also compared user by user, to find out whether a difference is
    more than chance (`kgplug.evaluation.significance`). Runs that are measured on different rows are not compared; a
    note says so.

    Args:
        graph: Graph on which the runs were trained.
        run_dirs: Folders of the runs.
        k: Lengths of lists. NDCG at the first one chooses the best run.
        beyond: Also measure recommenders beyond accuracy, such as by novelty (`kgplug.evaluation.beyond_accuracy`).
        pairs: Folders of runs to compare, as (run, baseline). None: each run with the best one.
        intervals: Also compute the 95 % confidence interval of each metric that is a mean over users.
        on_failure: Called with each run that cannot be measured and the error. By default, the first error is raised.
        progress: Whether to show a progress bar while the graph is read. None: only on a terminal.

    Returns:
        One table per kind of model ("recommender", "embedding") with one row per run. Column "test rows" is the number
        of rows a run was measured on, "gone" the number of its own test rows that the graph no longer has.
        `table.attrs["notes"]` has sentences on the choice of rows, `table.attrs["health"]` on collapsed models, and
        `table.attrs["differences"]` a `Difference` per compared run and metric; [] for embeddings.
        `table.attrs["intervals"]` maps a run's name to metric → (low, high); {} without `intervals`.

    Raises:
        RunError: A run is damaged or of another graph, or none of its test rows is left.
        DataError: A run has no test set.
    """
    work, lengths = _Work(graph, run_dirs, on_failure), tuple(k)
    check_lengths(lengths)
    for run_dir in run_dirs:
        work.add(run_dir)
    for group in work.groups.values():
        work.measure(group, k=lengths, beyond=beyond, pairs=pairs, intervals=intervals, progress=progress)
    return work.tables()


class _Work:
    """The runs of one call of `evaluate`, and their metrics so far.

    Attributes:
        groups: Text from `_what_to_read` → the runs that need the same data, and are measured together.
    """

    def __init__(
        self, graph: Graph, run_dirs: Sequence[Path], on_failure: Callable[[Path, KgplugError], None] | None
    ) -> None:
        self.graph, self.run_dirs, self.on_failure = graph, run_dirs, on_failure
        self.here = graph_identity(graph.connection, None)
        self.groups: dict[str, list[MeasuredRun]] = {}
        self._asked_for: dict[Path, list[Path]] = {}  # measured run → the runs that get its metrics
        self._tables: dict[str, list[pd.DataFrame]] = {}
        self._notes: dict[str, list[str]] = {}
        self._differences: dict[str, list[Difference]] = {}
        self._intervals: dict[str, dict[str, tuple[float, float]]] = {}

    def add(self, run_dir: Path) -> None:
        """Add a run to its group; for a final run, add its origin instead (`_origin_of`).

        If the origin cannot be read, use the metrics that were saved with the final run.
        """
        try:
            content = read_content(run_dir)
            if not {"schema", "split", "data"} <= content.keys():
                raise RunError(
                    f"Run {run_dir.name} does not record the rows it was trained on, so it has no test set. Train with "
                    "`kgplug train`."
                )
            refuse_other_graph(self.here, run_dir, content)
            self._notes.setdefault(content["kind"], [])
            measured, content = _origin_of(run_dir, content)
            if measured is None:
                self._keep(content["kind"], _row(evaluation_of(run_dir), run_dir.name))
            elif measured in self._asked_for:
                self._asked_for[measured].append(run_dir)
            else:
                self._asked_for[measured] = [run_dir]
                self.groups.setdefault(_what_to_read(content), []).append(MeasuredRun(measured, content))
            if measured != run_dir:
                self._notes[content["kind"]].append(
                    _final_note(run_dir, content["origin"] if measured is None else measured.name)
                )
        except KgplugError as error:
            self._fail(run_dir, error)

    def measure(
        self,
        group: list[MeasuredRun],
        *,
        k: tuple[int, ...],
        beyond: bool,
        pairs: Sequence[tuple[Path, Path]] | None,
        intervals: bool,
        progress: bool | None,
    ) -> None:
        """Read the data of a group of runs, measure and compare them, and save their metrics."""
        kind = group[0].content["kind"]
        try:
            rows: TestRows = ROWS_OF_KIND[kind](self.graph, group, progress)
        except (DataError, UsageError) as error:  # the graph has no data for these runs
            for run in group:
                text = f"Run {run.run_dir.name} cannot be measured: {error.found} Train again on this graph."
                self._fail_all(run, RunError(text))
            return
        for run, error in rows.recall():
            self._fail_all(run, error)
        self._notes[kind] += rows.notes
        for run in rows.runs:
            try:
                with stage(f"Evaluating {run.run_dir.name}", progress=progress):
                    table = rows.measure(run, k, beyond)
            except KgplugError as error:
                self._fail_all(run, error)
                continue
            health = table.attrs.get("health", {}).get(run.run_dir.name, [])
            for run_dir in {run.run_dir, *self._asked_for[run.run_dir]}:
                keep(run_dir, health)
                write_text_whole(run_dir / EVALUATION, dumps(table.iloc[0]))
            for run_dir in dict.fromkeys(self._asked_for[run.run_dir]):
                own = table.rename(index={run.run_dir.name: run_dir.name})
                if intervals and run.run_dir.name in rows.by_user:
                    self._intervals[run_dir.name] = intervals_by_user(rows.by_user[run.run_dir.name])
                own.attrs = {"health": {run_dir.name: health} if health else {}}
                self._keep(kind, own)
        self._compare(rows, kind, SORTED_BY[kind].column(k[0]), pairs)

    def _compare(self, rows: TestRows, kind: str, by: str, pairs: Sequence[tuple[Path, Path]] | None) -> None:
        """Compare the runs of a group user by user, if they were measured on the same rows.

        `pairs` are the folders of runs to compare; None compares each run with the best one, the run with the best
        value of the metric `by`.
        """
        values = {
            run_dir.name: rows.by_user[run.run_dir.name]
            for run in rows.runs
            if run.run_dir.name in rows.by_user
            for run_dir in dict.fromkeys(self._asked_for[run.run_dir])
        }
        if not rows.comparable:
            return
        if pairs is None:
            found = compare_by_user(values, by)
        else:
            named = [(one.name, other.name) for one, other in pairs]
            found = differences(values, [pair for pair in named if set(pair) <= values.keys()])
        self._differences.setdefault(kind, []).extend(found)

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return one table per kind of model, with runs in the order in which they were given."""
        place = {run_dir.name: number for number, run_dir in reversed(list(enumerate(self.run_dirs)))}
        found: dict[str, pd.DataFrame] = {}
        for kind, parts in self._tables.items():
            table = joined(parts)
            health = table.attrs["health"]
            table = table.iloc[np.argsort([place[name] for name in table.index], kind="stable")]
            table.attrs = {
                "health": health,
                "notes": self._notes[kind],
                "differences": self._differences.get(kind, []),
                "intervals": self._intervals,
            }
            found[kind] = table
        return found

    def _keep(self, kind: str, table: pd.DataFrame) -> None:
        self._tables.setdefault(kind, []).append(table)

    def _fail(self, run_dir: Path, error: KgplugError) -> None:
        if self.on_failure is None:
            raise error
        self.on_failure(run_dir, error)

    def _fail_all(self, run: MeasuredRun, error: KgplugError) -> None:
        for run_dir in dict.fromkeys(self._asked_for[run.run_dir]):
            self._fail(run_dir, error)


def _what_to_read(content: dict[str, Any]) -> str:
    """Return a text that identifies the data a run needs. Runs with the same text are measured on the same rows."""
    schema = GraphSchema.model_validate(content["schema"]).model_dump()
    schema["item"].pop("title")
    if content["kind"] == Kind.RECOMMENDER:
        del schema["knowledge"]
        kinds: dict[str, Any] | list[Any] = schema["feedback"]
        if isinstance(kinds, dict):  # several kinds become one by their thresholds and times
            for name in ("like_threshold", "timestamp"):  # these do not change the set of rows
                kinds.pop(name, None)
        if (split := split_of(content)).by_users:  # their metrics cannot be compared with those of other splits
            schema["split"] = [split.by, split.order]
    return dumps([content["kind"], schema], sort_keys=True)


def _origin_of(run_dir: Path, content: dict[str, Any]) -> tuple[Path | None, dict[str, Any]]:
    """Return (folder, content) of the run to measure: the run itself or, for a final run, its origin.

    A final run was trained on all rows, so it has no test set; its origin is the run that chose its settings and
    epochs. If the origin cannot be read but the final run has saved metrics, return (None, the final run's content).
    """
    origin = content.get("origin")
    if not origin:
        return run_dir, content
    try:
        return run_dir.parent / origin, read_content(run_dir.parent / origin)
    except RunError as error:
        if evaluation_of(run_dir):
            return None, content
        raise RunError(
            f"Run {run_dir.name} was trained on all rows, so it has no test set of its own. Its origin, run {origin}, "
            f"cannot be measured. {error}"
        ) from None


def _row(metrics: dict[str, float], name: str) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame([metrics], index=[name])


def _final_note(run_dir: Path, origin: str) -> str:
    return (
        f"Run {run_dir.name} was trained on all rows, so it has no test set of its own. Its metrics are those of run "
        f"{origin}, which chose its settings and epochs."
    )
