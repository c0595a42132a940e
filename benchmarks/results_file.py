"""The file of `results.py`: one line of JSON per measurement, appended at once, so that a killed run can continue."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, order=True)
class Key:
    """Identity of one measurement.

    Attributes:
        dataset: Name of the data set.
        part: "ctr", "ranking", "switches", "spread" or "leak".
        protocol: "honest" or "paper"; "" for ranking.
        model: Name of the model.
        variant: `Ablation.variant`; "" for the whole model.
        seed: Seed of the measurement.
    """

    dataset: str
    part: str
    protocol: str
    model: str
    variant: str
    seed: int


class ResultsFile:
    """The file's lines by key. Of two lines with the same key, the later one counts.

    A line "again" deletes a model's earlier lines.

    Args:
        path: Path of the file, which may be missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: dict[Key, dict[str, Any]] = {}
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        for number, line in enumerate(text.splitlines(), 1):
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, TypeError):
                print(f"{path.name}: line {number} is incomplete and is ignored.", flush=True)

    def _take(self, line: dict[str, Any]) -> None:
        if "again" in line:
            gone = line["again"]
            self.lines = {
                key: old for key, old in self.lines.items()
                if not (key.model == gone["model"] and key.dataset in gone["datasets"] and key.part in gone["parts"])
            }  # fmt: skip
        else:
            self.lines[Key(**line["key"])] = line

    def add(self, key: Key, line: dict[str, Any]) -> None:
        """Append the line of one measurement."""
        self._write({"key": asdict(key), **line})

    def forget(self, model: str, *, datasets: list[str], parts: list[str]) -> None:
        """Append a line "again", so that a model will be measured again."""
        self._write({"again": {"model": model, "datasets": datasets, "parts": parts}})

    def _write(self, line: dict[str, Any]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        cut = self.path.exists() and not self.path.read_bytes().endswith(b"\n") and self.path.stat().st_size > 0
        with self.path.open("a", encoding="utf-8") as file:  # one write, so that two runs do not mix their lines
            file.write(("\n" if cut else "") + json.dumps(line, sort_keys=False) + "\n")
        self._take(json.loads(json.dumps(line)))

    def has(self, key: Key, *, settings: dict[str, Any], data: str, defaults: Mapping[str, Any] | None = None) -> bool:
        """Return whether the file has a measurement with these settings and data.

        Args:
            key: The measurement.
            settings: The model's settings.
            data: Fingerprint of the data set.
            defaults: Values for settings that the line lacks because kgplug did not have them yet. If omitted, such a
                line does not count.
        """
        line = self.lines.get(key)
        return line is not None and {**(defaults or {}), **line["settings"]} == settings and line["data"] == data
