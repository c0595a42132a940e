"""The result of an experiment as one HTML file and as Markdown: table, chart, differences from the paper."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kgplug.evaluation.significance import ALPHA
from kgplug.papers.experiment import PaperData
from kgplug.papers.results import Results, Summary
from kgplug.plain_text import counted

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1c1c1c; background: #fff; max-width: 62rem; margin: 2rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; }
h2 { font-size: 1.2rem; margin-top: 2rem; }
.paper, .note { color: #555; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
img { max-width: 100%; height: auto; }
.warning { background: #fff4d6; padding: .6rem 1rem; border-left: 4px solid #e0a800; }
code { background: #f3f3f3; padding: .1rem .3rem; }
"""
PRINTED = "paper: "  # before the columns with the paper's values


@dataclass(frozen=True)
class _Table:
    title: str
    text: str
    header: list[str]
    rows: list[list[str]]
    notes: list[str]


def write_pages(results: Results, data: PaperData, folder: Path, *, command: str) -> tuple[Path, Path]:
    """Write the HTML page and the Markdown page with its chart; return the paths of the two pages.

    Args:
        results: the measurements.
        data: the data that were measured.
        folder: folder of the pages, created if missing.
        command: command that measured them, to print on the pages.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = results.experiment.name + ("-quick" if results.quick else "")
    picture = _png(results)
    (folder / f"{name}.png").write_bytes(picture)
    page, text = folder / f"{name}.html", folder / f"{name}.md"
    page.write_text(as_html(results, data, picture, command=command), encoding="utf-8")
    text.write_text(as_markdown(results, data, f"{name}.png", command=command), encoding="utf-8")
    return page, text


def as_html(results: Results, data: PaperData, picture: bytes, *, command: str) -> str:
    """Return the page as HTML; `picture` is the chart as PNG, which becomes part of the page."""
    experiment, escape = results.experiment, html.escape
    encoded = base64.b64encode(picture).decode()
    parts = [
        f"<h1>{escape(experiment.title)}</h1>",
        f'<p class="paper">{escape(experiment.paper)}</p>',
        f"<p>{escape(experiment.question)}</p>",
        *([f'<p class="warning">{escape(_quick_warning())}</p>'] if results.quick else []),
        f"<p>{escape(_measured_on(results, data))}</p>",
        f'<p><img alt="{escape(experiment.title)}" src="data:image/png;base64,{encoded}"></p>',
    ]
    for table in _tables(results):
        parts += [f"<h2>{escape(table.title)}</h2>", f"<p>{escape(table.text)}</p>", '<div class="wide"><table>']
        parts += [f"<tr>{''.join(f'<th>{escape(cell)}</th>' for cell in table.header)}</tr>"]
        parts += [f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in table.rows]
        parts += ["</table></div>", *(f'<p class="note">{escape(note)}</p>' for note in table.notes)]
    parts += ["<h2>What differs from the paper</h2>", "<ul>"]
    parts += [f"<li>{escape(sentence)}</li>" for sentence in experiment.differences]
    parts += ["</ul>", "<h2>Measure it again</h2>", f"<p><code>{escape(command)}</code></p>"]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(experiment.title)}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def as_markdown(results: Results, data: PaperData, picture: str, *, command: str) -> str:
    """Return the page as Markdown; `picture` is the path of the chart."""
    experiment = results.experiment
    parts = [f"# {experiment.title}", experiment.paper, experiment.question]
    parts += [f"**{_quick_warning()}**"] if results.quick else []
    parts += [_measured_on(results, data), f"![{experiment.title}]({picture})"]
    for table in _tables(results):
        cells = [[cell.replace("|", "\\|") for cell in row] for row in (table.header, *table.rows)]
        lines = [f"| {' | '.join(row)} |" for row in cells]
        parts += [f"## {table.title}", table.text, "\n".join([lines[0], "|-" * len(table.header) + "|", *lines[1:]])]
        parts += table.notes
    parts += ["## What differs from the paper", "\n".join(f"- {sentence}" for sentence in experiment.differences)]
    parts += ["## Measure it again", f"```\n{command}\n```"]
    return "\n\n".join(parts) + "\n"


def _quick_warning() -> str:
    return "Measured with --quick: few models, two epochs, no choice of settings. These numbers show only the form."


def _measured_on(results: Results, data: PaperData) -> str:
    rows, graph = data.interactions, data.knowledge
    return (
        f"Measured on {data.name}: {counted(len(rows), 'row')} of feedback by {counted(rows.n_users, 'user')} on "
        f"{counted(rows.n_items, 'item')}, {counted(graph.n_triples, 'triple')}. Values are means of "
        f"{counted(results.repetitions, 'random split')}, with their standard deviations (the paper: "
        f"{results.experiment.repetitions} splits)."
    )


def _tables(results: Results) -> Iterator[_Table]:
    for number, (protocol, description) in enumerate(results.experiment.protocols.items()):
        metrics = results.experiment.metrics
        printed = results.experiment.printed if number == 0 else {}
        columns = [metric for metric in metrics if any(metric in row for row in printed.values())]
        found = {metric: results.summaries(protocol, metric) for metric in metrics}
        unranked = results.experiment.unranked
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
                "* the highest mean of its column. ≈ not more than chance below it: paired test over the splits "
                f"(corrected resampled t-test, Nadeau and Bengio 2003), p ≥ {ALPHA:g} after Holm's correction.",
                *notes,
            ]
        title = "Results" if len(results.experiment.protocols) == 1 else f"Protocol: {protocol}"
        yield _Table(title, description, ["", *metrics, *(PRINTED + metric for metric in columns)], rows, notes)


def _best(found: dict[str, Summary]) -> Summary | None:
    return max(found.values(), key=lambda each: each.mean, default=None)


def _cell(summary: Summary | None, best: Summary | None) -> str:
    if summary is None:
        return "–"
    spread = f" ± {number_text(summary.sd)}" if not math.isnan(summary.sd) else ""
    mark = "" if best is None else " *" if summary is best else " ≈" if summary.p >= ALPHA else ""
    return number_text(summary.mean) + spread + mark


def number_text(value: float | None) -> str:
    """Return a number with four digits after the point, or three significant ones if it is above 1; "–" for None."""
    if value is None:
        return "–"
    return f"{value:.3g}" if value > 1 else f"{value:.4f}".removeprefix("0")


def _png(results: Results) -> bytes:
    """Draw the chart and return it as PNG."""
    buffer = io.BytesIO()
    results.experiment.draw(results).savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()


def frame_rows(results: Results, protocol: str) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """Return the table of a protocol as header and rows of text, as on the pages."""
    table = dict(zip(results.experiment.protocols, _tables(results), strict=True))[protocol]
    return table.header, table.rows
