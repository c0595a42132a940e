"""The runs on this machine: one folder a training, found by id, by the beginning of an id, or by model."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from kgplug.data.artefact import MANIFEST, new_run_id, peek_content
from kgplug.errors import RunError, UsageError

HEALTH = "health.json"  # beside a run: what an evaluation found dead about it


@dataclass(frozen=True)
class RunInfo:
    """What a list of runs tells about one.

    Attributes:
        id: name of its folder.
        model: name of the model, "" where the run is damaged.
        kind: "recommender" or "embedding", "" where the run is damaged.
        created: ISO 8601 in UTC.
        metrics: figure → value, as the training left them.
        seconds: the training took, None where unknown.
        path: its folder.
        damage: what is wrong with it, "" where nothing is.
        health: what is dead about its model, one sentence each; see `kgplug.data.health`.
    """

    id: str
    model: str
    kind: str
    created: str
    metrics: dict[str, float] = field(default_factory=dict)
    seconds: float | None = None
    path: Path = Path()
    damage: str = ""
    health: list[str] = field(default_factory=list)


class Runs:
    """A folder that holds one sub-folder a run; it need not exist yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def __repr__(self) -> str:
        return f"Runs({str(self.folder)!r}), {len(self.list()):,} of them"

    def new_id(self, model: str) -> str:
        """Return a new id, such as "mkr-20261123-154500-a1b2"."""
        return new_run_id(model)

    def path(self, run: str) -> Path:
        """Return where a run of that id stands or shall stand."""
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", run):
            raise UsageError(f'Run id "{run}": expected letters, digits, "-" and "_".')
        return self.folder / run

    def info(self, folder: Path) -> RunInfo:
        """Return what a run says about itself. Reads its JSON and checks sizes; `load` checks the hashes."""
        folder = Path(folder)
        try:
            content = peek_content(folder)
            history = content.get("history") or {}
            return RunInfo(
                folder.name,
                str(content["model"]),
                str(content["kind"]),
                str(content.get("created") or _created(folder)),
                dict(content.get("metrics") or {}),
                content.get("seconds", round(sum(history["seconds"]), 1) if history.get("seconds") else None),
                folder,
                health=list(dict.fromkeys([*(content.get("health") or []), *_found_at_evaluation(folder)])),
            )
        except RunError as error:
            return RunInfo(folder.name, "", "", _created(folder), path=folder, damage=str(error))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            damage = f"{folder}: its content is not that of a run ({error!r}). Train again."
            return RunInfo(folder.name, "", "", _created(folder), path=folder, damage=damage)

    def list(self) -> list[RunInfo]:
        """Return all runs, the oldest first; damaged ones are listed as such."""
        if not self.folder.is_dir():
            return []
        folders = [path for path in self.folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
        return sorted((self.info(path) for path in folders), key=lambda info: (info.created, info.id))

    def resolve(self, text: str) -> Path:
        """Return the folder of a run.

        Args:
            text: an id, its beginning where only one run has it, the name of a model (whose newest whole
                run is meant), or the path of a run's folder.

        Raises:
            UsageError: nothing fits, or several do; the message tells what there is.
        """
        found = self.list()
        by_id = {info.id: info.path for info in found}
        if text in by_id:
            return by_id[text]
        of_model = [info for info in found if info.model and info.model.lower() == text.lower()]
        if of_model:
            return of_model[-1].path
        fitting = [info.id for info in found if text and info.id.startswith(text.lower())]
        if len(fitting) == 1:
            return by_id[fitting[0]]
        if fitting:
            raise UsageError(f'"{text}" fits {len(fitting)} runs: {_some(fitting)}. Write more of the id.')
        if os.path.isfile(Path(text, MANIFEST)):  # noqa: PTH113 (Path.is_file raises for a name that is too long)
            return Path(text)
        if not found:
            raise UsageError(f'No run "{text}": there is none in {self.folder} yet. `kgplug train MODEL` makes one.')
        models = sorted({info.model for info in found if info.model})
        raise UsageError(
            f'No run or model "{text}". Runs: {_some([info.id for info in reversed(found)])}.'
            + (f" Models: {', '.join(models)}." if models else "")
        )


def _found_at_evaluation(folder: Path) -> list[str]:
    path = folder / HEALTH
    return [str(sentence) for sentence in json.loads(path.read_text(encoding="utf-8"))] if path.exists() else []


def _some(ids: list[str], shown: int = 5) -> str:
    more = f" and {len(ids) - shown} more (`kgplug runs`)" if len(ids) > shown else ""
    return ", ".join(ids[:shown]) + more


def _created(folder: Path) -> str:
    """Return when a run was made: as its id says, else when its folder was last changed; ISO 8601 in UTC."""
    stamp = re.search(r"-(\d{8}-\d{6})-", folder.name)
    if stamp:
        try:
            return datetime.strptime(stamp[1], "%Y%m%d-%H%M%S").replace(tzinfo=UTC).isoformat(timespec="seconds")
        except ValueError:
            pass
    return datetime.fromtimestamp(folder.stat().st_mtime, UTC).isoformat(timespec="seconds")
