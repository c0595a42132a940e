"""The page of an experiment: tables, chart, and what differs from the paper."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kgplug.evaluation.significance import ALPHA
from kgplug.pages import Page
from kgplug.papers.experiment import PaperData
from kgplug.papers.results import Results, Summary
from kgplug.plain_text import counted

PRINTED = "paper: "  # before the columns with the paper's values


@dataclass(frozen=True)
class Table:
    """The results by one protocol, as text.

    Attributes:
        protocol: name of the protocol.
        header: names of the columns; the first is empty.
        rows: for each row its name and values.
        notes: sentences below the table.
    """

    protocol: str
    header: list[str]
    rows: list[list[str]]
    notes: list[str]


def page_of(results: Results, data: PaperData, *, command: str) -> Page:
    """Return the page of an experiment; `command` is printed on it as the way to measure again."""
    experiment = results.experiment
    page = Page(experiment.title)
    page.note(experiment.paper)
    page.text(experiment.question)
    if results.quick:
        page.warning(
            "Measured with --quick: few models, two epochs, no choice of settings. These numbers show only the form."
        )
    page.text(_measured_on(results, data))
    page.picture(experiment.draw(results), experiment.title)
    for table in tables(results):
        page.heading("Results" if len(experiment.protocols) == 1 else f"Protocol: {table.protocol}")
        page.text(experiment.protocols[table.protocol])
        page.table(table.header, table.rows)
        for note in table.notes:
            page.note(note)
    page.heading("What differs from the paper")
    page.points(experiment.differences)
    page.heading("Measure it again")
    page.code(command)
    return page


def tables(results: Results) -> Iterator[Table]:
    """Yield the table of each protocol."""
    metrics, unranked = results.experiment.metrics, results.experiment.unranked
    for number, protocol in enumerate(results.experiment.protocols):
        printed = results.experiment.printed if number == 0 else {}
        columns = [metric for metric in metrics if any(metric in row for row in printed.values())]
        found = {metric: results.summaries(protocol, metric) for metric in metrics}
        best = {metric: None if metric in unranked else _best(found[metric]) for metric in metrics}
        rows = [
            [
                name,
                *(_cell(found[metric].get(name), best[metric]) for metric in metrics),
                *(number_text(printed.get(name, {}).get(metric)) for metric in columns),
            ]
            for name in results.rows(protocol)
        ]
        notes = [f"{name} was not measured: {why}" for name, why in results.refused(protocol).items()]
        if results.repetitions > 1 and len(rows) > 1:
            notes = [
                "* the highest mean of its column. ≈ the difference from it may be chance: paired test over the splits "
                f"(corrected resampled t-test, Nadeau and Bengio 2003), p ≥ {ALPHA:g} after Holm's correction.",
                *notes,
            ]
        yield Table(protocol, ["", *metrics, *(PRINTED + metric for metric in columns)], rows, notes)


def number_text(value: float | None) -> str:
    """Return a number with four digits after the point, or three significant ones if it is above 1; "–" for None."""
    if value is None:
        return "–"
    return f"{value:.3g}" if value > 1 else f"{value:.4f}".removeprefix("0")


def _measured_on(results: Results, data: PaperData) -> str:
    rows, graph = data.interactions, data.knowledge
    return (
        f"Measured on {data.name}: {counted(len(rows), 'row')} of feedback by {counted(rows.n_users, 'user')} on "
        f"{counted(rows.n_items, 'item')}, {counted(graph.n_triples, 'triple')}. Values are means of "
        f"{counted(results.repetitions, 'random split')}, with their standard deviations (the paper: "
        f"{results.experiment.repetitions} splits)."
    )


def _best(found: Mapping[str, Summary]) -> Summary | None:
    return max(found.values(), key=lambda each: each.mean, default=None)


def _cell(summary: Summary | None, best: Summary | None) -> str:
    if summary is None:
        return "–"
    spread = f" ± {number_text(summary.sd)}" if not math.isnan(summary.sd) else ""
    if best is None or math.isnan(summary.sd):
        return number_text(summary.mean) + spread
    mark = " *" if summary is best else " ≈" if summary.p >= ALPHA else ""
    return number_text(summary.mean) + spread + mark
