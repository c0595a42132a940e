"""The runs on this machine: one folder per training, found by id, by the start of an id, or by model."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kgplug.data.artefact import MANIFEST, new_run_id, peek_content
from kgplug.data.graph_identity import GraphIdentity
from kgplug.data.kinds import Kind
from kgplug.errors import RunError, UsageError

HEALTH = "health.json"  # in a run's folder: signs of a collapsed model, found by an evaluation
EVALUATION = "evaluation.json"  # in a run's folder: metrics measured by `kgplug evaluate`
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class RunInfo:
    """Facts about one run.

    Attributes:
        id: Name of its folder.
        model: Name of the model, "" if the run is damaged.
        kind: Kind of the model, None if the run is damaged.
        created: Time of the training, ISO 8601 in UTC.
        metrics: Validation metric → value.
        seconds: Duration of the training, None if unknown.
        path: The run's folder.
        damage: Why the run cannot be read; "" if it can.
        graph: Identity of the graph that it was trained on, as far as known.
        evaluation: Metric → value, as measured by `kgplug evaluate`; {} if not evaluated.
        origin: For a final run (one trained on all rows), id of the earlier run whose settings, number of epochs and
            metrics it has taken over. "" for other runs.
        health: Signs that the model has collapsed, one sentence each; see `kgplug.data.health`.
    """

    id: str
    model: str
    kind: Kind | None
    created: str
    metrics: dict[str, float] = field(default_factory=dict[str, float])
    seconds: float | None = None
    path: Path = Path()
    damage: str = ""
    graph: GraphIdentity = field(default_factory=GraphIdentity)
    evaluation: dict[str, float] = field(default_factory=dict[str, float])
    origin: str = ""
    health: list[str] = field(default_factory=list[str])

    @property
    def gives_lists(self) -> bool:
        """Whether this is an undamaged run of a recommender."""
        return self.kind is not None and self.kind.gives_lists

    @property
    def gives_links(self) -> bool:
        """Whether this is an undamaged run of an embedding, which predicts links."""
        return self.kind is not None and not self.kind.gives_lists


class Runs:
    """A folder with one subfolder per run. The folder may not exist yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._known: dict[Path, tuple[frozenset[tuple[str, int, int]], RunInfo]] = {}

    def __repr__(self) -> str:
        return f"Runs({str(self.folder)!r}), {len(self.list()):,} of them"

    def new_id(self, model: str) -> str:
        """Return a new id, such as "mkr-20261123-154500-a1b2"."""
        return new_run_id(model)

    def path(self, run: str) -> Path:
        """Return the folder that a run with this id has or would have. Raise UsageError if the id is invalid."""
        if not _ID.fullmatch(run):
            raise UsageError(f'Run id "{run}": expected letters, digits, "-" and "_".')
        return self.folder / run

    def has(self, text: str) -> bool:
        """Return whether a text is the id of a run in this folder."""
        return bool(_ID.fullmatch(text)) and os.path.isdir(self.folder / text)  # noqa: PTH112 (Path.is_dir raises if too long)

    def info(self, run_dir: Path) -> RunInfo:
        """Return the facts of a run. Its JSON is read and checked; of its arrays, only the size is checked."""
        run_dir = Path(run_dir)
        files = _files(run_dir)
        if run_dir in self._known and self._known[run_dir][0] == files:  # unchanged since it was read
            return self._known[run_dir][1]
        info = self._read_info(run_dir)
        self._known[run_dir] = files, info
        return info

    def _read_info(self, run_dir: Path) -> RunInfo:
        try:
            content = peek_content(run_dir)
            history: dict[str, Any] = content.get("history") or {}
            return RunInfo(
                run_dir.name,
                str(content["model"]),
                Kind(content["kind"]),
                str(content.get("created") or _created(run_dir)),
                dict(content.get("metrics") or {}),
                content.get("seconds", round(sum(history["seconds"]), 1) if history.get("seconds") else None),
                run_dir,
                graph=GraphIdentity.of_run(content),
                evaluation=_evaluation(run_dir),
                origin=str(content.get("origin") or ""),
                health=list(dict.fromkeys([*(content.get("health") or []), *_found_at_evaluation(run_dir)])),
            )
        except RunError as error:
            return RunInfo(run_dir.name, "", None, _created(run_dir), path=run_dir, damage=str(error))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            damage = f"{run_dir}: its content is not a valid run ({error!r}). Train again."
            return RunInfo(run_dir.name, "", None, _created(run_dir), path=run_dir, damage=damage)

    def list(self) -> list[RunInfo]:
        """Return all runs, oldest first, including damaged ones."""
        if not self.folder.is_dir():
            return []
        run_dirs = [path for path in self.folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
        return sorted((self.info(path) for path in run_dirs), key=lambda info: (info.created, info.id))

    def of(self, graph: GraphIdentity | None) -> tuple[list[RunInfo], int]:
        """Return the undamaged runs of a graph, oldest first, and the number of undamaged runs of other graphs.

        Args:
            graph: The graph; None returns all undamaged runs and 0.
        """
        whole = [info for info in self.list() if not info.damage]
        here = [info for info in whole if graph is None or graph.same_graph(info.graph)]
        return here, len(whole) - len(here)

    def last_known(self, address: str, database: str) -> GraphIdentity | None:
        """Return the identity of the graph that the newest run on this server and database was trained on.

        Runs that did not record the id of their database are ignored. If no run is left, return None.

        Args:
            address: host:port of the server.
            database: Name of the database; "" for any database of the server.
        """
        graphs = [info.graph for info in reversed(self.list()) if info.graph.store and info.graph.address == address]
        found = next((graph for graph in graphs if database in ("", graph.database)), None)
        return None if found is None else GraphIdentity(found.store, found.database, found.address)

    def resolve(self, text: str, graph: GraphIdentity | None = None) -> Path:
        """Return the folder of a run.

        Args:
            text: An id, an unambiguous start of an id, the name of a model (for its newest undamaged run), or the path
                of a run's folder.
            graph: For a model's name, only runs of this graph; None allows any graph.

        Raises:
            UsageError: No run fits, or several do; the message lists the runs.
        """
        if self.has(text):
            return self.folder / text
        found = self.list()
        by_id = {info.id: info.path for info in found}
        if text in by_id:
            return by_id[text]
        of_model = [info for info in found if info.model and info.model.lower() == text.lower()]
        here = [info for info in of_model if graph is None or graph.same_graph(info.graph)]
        if here:
            return here[-1].path
        if of_model:
            newest = of_model[-1]
            raise UsageError(
                f"No run of {newest.model} on this graph, {graph}; {len(of_model):,} on other graphs, the newest "
                f"{newest.id} on {newest.graph}. Train one here: `kgplug train {newest.model}`."
            )
        fitting = [info.id for info in found if text and info.id.startswith(text.lower())]
        if len(fitting) == 1:
            return by_id[fitting[0]]
        if fitting:
            raise UsageError(f'"{text}" fits {len(fitting)} runs: {_some(fitting)}. Give more of the id.')
        if os.path.isfile(Path(text, MANIFEST)):  # noqa: PTH113 (Path.is_file raises for a name that is too long)
            return Path(text)
        if not found:
            raise UsageError(f'No run "{text}": there is none in {self.folder} yet. Train one: `kgplug train MODEL`.')
        models = sorted({info.model for info in found if info.model})
        raise UsageError(
            f'No run or model "{text}". Runs: {_some([info.id for info in reversed(found)])}.'
            + (f" Models: {', '.join(models)}." if models else "")
        )


def _files(run_dir: Path) -> frozenset[tuple[str, int, int]]:
    """Return name, size in bytes and modification time in ns of each file of a run."""
    try:
        found = [(file.name, file.stat()) for file in os.scandir(run_dir)]
    except OSError:
        found = []
    return frozenset((name, stat.st_size, stat.st_mtime_ns) for name, stat in found)


def _evaluation(run_dir: Path) -> dict[str, float]:
    """Return the metrics saved by `kgplug evaluate`, {} if missing or damaged."""
    try:
        return dict(json.loads((run_dir / EVALUATION).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return {}


def _found_at_evaluation(run_dir: Path) -> list[str]:
    path = run_dir / HEALTH
    return [str(sentence) for sentence in json.loads(path.read_text(encoding="utf-8"))] if path.exists() else []


def _some(ids: list[str], shown: int = 5) -> str:
    more = f" and {len(ids) - shown} more (`kgplug runs`)" if len(ids) > shown else ""
    return ", ".join(ids[:shown]) + more


def _created(run_dir: Path) -> str:
    """Return a run's time from its id, or the modification time of its folder; ISO 8601 in UTC."""
    stamp = re.search(r"-(\d{8}-\d{6})-", run_dir.name)
    if stamp:
        try:
            return datetime.strptime(stamp[1], "%Y%m%d-%H%M%S").replace(tzinfo=UTC).isoformat(timespec="seconds")
        except ValueError:
            pass
    return datetime.fromtimestamp(run_dir.stat().st_mtime, UTC).isoformat(timespec="seconds")
