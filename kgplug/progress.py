"""Progress reports of long work: a bar, lines, JSON lines, or nothing.

All work that may take long uses `bar` or `stage`. On a terminal, counted work shows a bar; other work shows nothing.
Without a terminal, a library should be silent, and a command should write some lines to its log. `report_as` sets
the style of the whole process; the command line calls it.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal, Self, TextIO

from kgplug.strict_json import dumps

Style = Literal["bars", "lines", "json", "quiet"]

START_AFTER_S = 1.0  # seconds; shorter work prints no line
EVERY_S = 30.0  # minimum number of seconds between two lines
_UNITS = {"rel": "relationships", "rows": "rows", "B": "MB", "%": "%", "steps": "steps"}
_style: Style = "bars"
_lock = threading.RLock()
_open: list[_Report] = []


def report_as(style: Style) -> None:
    """Choose how this process reports work whose caller passed progress=None.

    Args:
        style: "bars": a bar on a terminal, otherwise nothing. "lines": a bar on a terminal, otherwise lines on standard
            error. "json": one JSON object per line on standard error. "quiet": nothing.
    """
    global _style
    _style = style


def style() -> Style:
    """Return the style that `report_as` chose; "bars" if it was not called."""
    return _style


def bar(
    total: int | None,
    *,
    what: str,
    unit: str,
    progress: bool | None,
    initial: int = 0,
    in_notebooks: bool = False,
    **tqdm_options: Any,
) -> Progress:
    """Return a report of counted work. Use it in a `with` statement and call its `update(n)`.

    Args:
        total: amount of work; None if unknown.
        what: name of the work, such as "Reading feedback".
        unit: unit of the count, in the singular.
        progress: True shows a bar, False nothing; None follows `report_as`.
        initial: amount of work done earlier, such as before an interruption.
        in_notebooks: with progress=None, also show a bar in a notebook.
        tqdm_options: further options of tqdm.
    """
    return Progress(total, what, unit, progress, initial, in_notebooks, tqdm_options)


@contextmanager
def stage(what: str, *, progress: bool | None) -> Generator[None]:
    """Report from time to time that the work of a `with` block is still running.

    Nothing is reported unless `progress` is None and `report_as` chose "json", or "lines" without a terminal.

    Args:
        what: name of the work.
        progress: True or False turns these reports off; None follows `report_as`.
    """
    report = _Report(what, None, "", 0) if progress is None and _wants_lines() else None
    if report is None:
        yield
        return
    report.open(repeat=True)
    try:
        yield
    finally:
        report.close()


def message(text: str, *, event: str = "message") -> None:
    """Write a text as one line on standard error, or as a JSON object with this `event` if `report_as` chose "json"."""
    _write({"event": event, "text": text}, text)


class Progress:
    """Report of counted work, made by `bar`: a bar, lines, or nothing."""

    def __init__(
        self,
        total: int | None,
        what: str,
        unit: str,
        progress: bool | None,
        initial: int,
        in_notebooks: bool,
        tqdm_options: dict[str, Any],
    ) -> None:
        self.n = initial
        self._report = None if progress is not None or total == 0 else _report(total, what, unit, initial)
        self._bar = None
        if total != 0 and self._report is None and _shows_bar(progress, in_notebooks):
            tqdm_options = {"unit_scale": unit not in ("%", "epoch", "trial"), **tqdm_options}
            self._bar = _tqdm(in_notebooks)(total=total, initial=initial, desc=what, unit=_spaced(unit), **tqdm_options)

    def __enter__(self) -> Self:
        if self._report is not None:
            self._report.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        if self._report is not None:
            self._report.close()

    def update(self, n: float = 1) -> None:
        """Add to the amount of work done."""
        self.n += n
        if self._bar is not None:
            self._bar.update(n)
        if self._report is not None:
            self._report.move(self.n)

    def show(self, facts: Mapping[str, Any] | str) -> None:
        """Show named values, or a text, next to the count."""
        if self._bar is not None:
            if isinstance(facts, str):
                self._bar.set_postfix_str(facts)
            else:
                self._bar.set_postfix(facts)
        if self._report is not None:
            self._report.facts = {"at": facts} if isinstance(facts, str) else dict(facts)


class _Report:
    """Prints lines about one piece of work: the first after a second, then at most one every half minute.

    While other work runs inside it, it prints a line only when its own count changes.
    """

    def __init__(self, what: str, total: int | None, unit: str, initial: int) -> None:
        self.what, self.total, self.unit, self.n, self._initial = what, total, unit, initial, initial
        self.facts: dict[str, Any] = {}
        self._began = self._said = time.monotonic()
        self._has_started, self._has_moved, self._repeat = False, False, False
        self._timer: threading.Timer | None = None

    def open(self, *, repeat: bool = False) -> None:
        with _lock:
            _open.append(self)
            self._repeat = repeat
            self._wait(START_AFTER_S)

    def close(self) -> None:
        with _lock:
            if self._timer is not None:
                self._timer.cancel()
            if self in _open:
                _open.remove(self)
            if self._has_moved:
                self._say("end")

    def move(self, n: float) -> None:
        with _lock:
            self.n = n
            if time.monotonic() - self._said >= EVERY_S:
                self._has_moved = True
                self._say("progress")

    def _wait(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self._tick)
        self._timer.daemon = True
        self._timer.start()

    def _tick(self) -> None:
        with _lock:
            if self not in _open:
                return
            if self is _open[-1]:
                self._has_moved |= self._has_started
                self._say("progress" if self._has_started else "start")
                self._has_started = True
            if self._repeat:
                self._wait(EVERY_S)

    def _say(self, event: str) -> None:
        self._said = time.monotonic()
        elapsed = self._said - self._began
        done = self.n - self._initial
        left = None
        if event == "progress" and self.total is not None and done > 0 and self.n <= self.total:
            left = elapsed / done * (self.total - self.n)
        record = {
            "event": event,
            "what": self.what,
            "n": self.n,
            "of": self.total,
            "unit": self.unit.strip() or None,
            **{name: _number(value) for name, value in self.facts.items()},
            "elapsed_s": round(elapsed, 1),
            "left_s": None if left is None else round(left),
        }
        _write(record, self._sentence(event, elapsed, left))

    def _sentence(self, event: str, elapsed: float, left: float | None) -> str:
        parts = [self._count()] if self.unit and (self.total is not None or self.n) else []
        parts += [f"{name} {value}" if name != "at" else str(value) for name, value in self.facts.items()]
        if event == "end":
            parts.append(f"ended after {_duration(elapsed)}")
        elif event == "progress":
            parts.append(f"{_duration(elapsed)} so far" if left is None else f"about {_duration(left)} left")
        return f"{self.what}: {', '.join(parts)}" if parts else f"{self.what} …"

    def _count(self) -> str:
        unit, n, total = self.unit.strip(), self.n, self.total
        if unit == "B":
            n, total = int(n / 1e6), None if total is None else int(total / 1e6)
        name = _UNITS.get(unit, f"{unit}s" if unit and total != 1 else unit)
        return f"{n:,} {name}" if total is None else f"{n:,} of {total:,} {name}"


def _tqdm(in_notebooks: bool) -> Any:
    if in_notebooks:
        from tqdm.auto import tqdm
    else:
        from tqdm import tqdm
    return tqdm


def _report(total: int | None, what: str, unit: str, initial: int) -> _Report | None:
    return _Report(what, total, unit, initial) if _wants_lines() else None


def _wants_lines() -> bool:
    return _style == "json" or (_style == "lines" and not _is_terminal(sys.stderr))


def _shows_bar(progress: bool | None, in_notebooks: bool) -> bool:
    if progress is not None:
        return progress
    if _style not in ("bars", "lines"):
        return False
    return _is_terminal(sys.stderr) or (in_notebooks and _in_notebook())


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    return ipython is not None and type(ipython.get_ipython()).__name__ == "ZMQInteractiveShell"


def _number(value: Any) -> Any:
    try:
        return float(value)
    except (TypeError, ValueError):
        return value


def _spaced(unit: str) -> str:
    return f" {unit}" if unit in ("rows", "steps") else unit


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _write(record: dict[str, Any], sentence: str) -> None:
    """Write one complete line on standard error: the record if `report_as` chose JSON, otherwise the sentence."""
    stream = sys.stderr
    if stream is None:
        return
    if _style == "json":
        sentence = dumps({"time": datetime.now(UTC).isoformat(timespec="seconds"), **record})
    try:
        stream.write(f"{sentence}\n")
        stream.flush()
    except (OSError, ValueError):  # nobody reads standard error any more
        pass
