"""The command line in this process, printing to a pipe or to a terminal of some width, in some encoding."""

from __future__ import annotations

import io
import re
import sys
from dataclasses import dataclass

import pytest

from kgplug import progress
from kgplug.cli import console, main


@dataclass
class Printed:
    """What a command printed, and its exit code."""

    out: str
    err: str
    code: int


class _Output(io.TextIOWrapper):
    def __init__(self, encoding: str, terminal: bool) -> None:
        super().__init__(io.BytesIO(), encoding=encoding, errors="strict", write_through=True)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    def text(self) -> str:
        return re.sub(r"\x1b\[[0-9;]*m", "", self.buffer.getvalue().decode(self.encoding))  # type: ignore[attr-defined]


def printed(*arguments: str, encoding: str = "utf-8", columns: int | None = None) -> Printed:
    """Run a command; columns is the width of its terminal, None a pipe."""
    with pytest.MonkeyPatch.context() as patch:
        outputs = [_Output(encoding, columns is not None) for _ in range(2)]
        patch.setattr(sys, "stdout", outputs[0])
        patch.setattr(sys, "stderr", outputs[1])
        patch.setattr(progress, "_style", "bars")  # put back at the end
        patch.setattr(sys, "argv", ["kgplug", *arguments])
        for one in (console.out, console.err):
            patch.setattr(one, "_width", columns or 80)
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        return Printed(outputs[0].text(), outputs[1].text(), code)
