"""Generates the reference page of the command line (docs/reference/command-line.md) from the program itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer.main

from kgplug.cli import app

INTRODUCTION = (
    "This page lists all commands and their options. It is generated from the program, so `kgplug COMMAND --help` "
    "prints the same texts."
)


def page() -> str:
    """Return the reference page, in Markdown."""
    return "\n".join(["# Command line", "", INTRODUCTION, "", *_lines(typer.main.get_command(app), "kgplug", None)])


def _lines(command: Any, name: str, parent: Any) -> Iterator[str]:
    context = command.context_class(command, info_name=name, parent=parent)
    if parent is not None:
        yield f"{'#' * len(context.command_path.split())} {context.command_path}"
        yield ""
    yield from _paragraphs(command.help or "")
    yield f"```text\n{re.sub(r'^Usage: ', '', command.get_usage(context))}\n```"
    yield ""
    rows = [row for row in (_row(parameter, context) for parameter in command.params) if row]
    if rows:
        yield from ("| option | meaning |", "|-|-|", *rows, "")
    for sub in getattr(command, "commands", {}).values():
        if not sub.hidden:
            yield from _lines(sub, sub.name, context)


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in text.split("\n\n"):
        yield " ".join(paragraph.split())
        yield ""


def _row(parameter: Any, context: Any) -> str:
    """Return the table row that describes a parameter; "" if the parameter is hidden."""
    if getattr(parameter, "hidden", False):
        return ""
    record = parameter.get_help_record(context)
    if parameter.param_type_name == "argument":
        record = (parameter.metavar or parameter.name.upper(), getattr(parameter, "help", None) or "")
    name, meaning = (" ".join(part.split()).replace("|", "\\|") for part in record)
    return f"| `{name}` | {meaning} |"
