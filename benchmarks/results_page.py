"""Make the tables of docs/results.md and docs/lab-notes.md from the file of `results.py`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from results_file import Key, ResultsFile
from results_rows import ALL_DATASETS, DATASETS, MADE_FOR_LISTS, PROBE, SWITCHES, TITLES, UNSEEN, Row, rows

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = (DOCS / "results.md", DOCS / "lab-notes.md")
COMMAND = "python benchmarks/results.py --book-crossing FOLDER"
MARKED = re.compile(r"(<!-- table: (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)
NOT_YET = "Not measured yet."
CLICKS = (("AUC", "honest"), ("ACC", "honest"), ("warm AUC", "honest"), ("AUC", "paper"), ("ACC", "paper"))
LISTS = ("NDCG@10", "recall@10", "precision@10", "precision@20")
RIVALS = {"ctr": ("MF", "LightGCN"), "ranking": ("MF", "LightGCN", "EASE")}


@dataclass(frozen=True)
class Summary:
    """Mean, standard deviation (with denominator n − 1; 0 for a single value), least value and number of values."""

    mean: float
    sd: float
    least: float
    n: int


@dataclass(frozen=True)
class Difference:
    """How one model differs from another on the same seeds.

    Attributes:
        mean, sd: Mean and standard deviation of first − second.
        wins: Number of seeds where the first is greater, without ties.
        n: Number of seeds that both have.
    """

    mean: float
    sd: float
    wins: int
    n: int


def summarise(values: Sequence[float]) -> Summary:
    """Summarise one or more values."""
    array = np.asarray(values, dtype=np.float64)
    sd = float(array.std(ddof=1)) if len(array) > 1 else 0.0
    return Summary(float(array.mean()), sd, float(array.min()), len(array))


def compare(first: Mapping[int, float], second: Mapping[int, float]) -> Difference | None:
    """Compare two models seed by seed. Return None if they have no seed in common.

    Args:
        first, second: Seed → value, of each model.
    """
    shared = sorted(first.keys() & second.keys())
    if not shared:
        return None
    found = summarise([first[seed] - second[seed] for seed in shared])
    return Difference(found.mean, found.sd, sum(first[seed] > second[seed] for seed in shared), found.n)


def fill(page: str, tables: Mapping[str, str]) -> str:
    """Put tables between `<!-- table: NAME -->` and `<!-- end -->`, and leave all other text as it is.

    Args:
        page: Text of the page.
        tables: Name → Markdown. Text between markers with other names stays as it is.

    Raises:
        ValueError: the page has no markers for a table, or has them twice.
    """
    places = [name for _, name, _ in MARKED.findall(page)]
    wrong = sorted(name for name in tables if places.count(name) != 1)
    if wrong:
        raise ValueError(f"expected one <!-- table: NAME --> … <!-- end --> for each table; wrong: {', '.join(wrong)}")

    def replaced(match: re.Match[str]) -> str:
        start, name, end = match.groups()
        return f"{start}{tables[name].strip()}\n{end}" if name in tables else match.group()

    return MARKED.sub(replaced, page)


def fill_pages(pages: Mapping[Path, str], tables: Mapping[str, str]) -> dict[Path, str]:
    """Fill several pages as `fill` does. Each table has its markers on exactly one page.

    Args:
        pages: Path → text.
        tables: Name → Markdown.

    Returns:
        Path → text with the tables.

    Raises:
        ValueError: no page has markers for a table, or several have.
    """
    fill("\n".join(pages.values()), tables)
    names = {path: {name for _, name, _ in MARKED.findall(text)} for path, text in pages.items()}
    return {
        path: fill(text, {name: table for name, table in tables.items() if name in names[path]})
        for path, text in pages.items()
    }


def markdown(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(cells) + " |" for cells in (header, *body)]
    return "\n".join([lines[0], "|-" * len(header) + "|", *lines[1:]])


def number(value: float, *, sign: bool = False) -> str:
    """Return a number as text with four digits after the point and without a zero before it, such as ".1234"."""
    text = f"{value:+.4f}" if sign else f"{value:.4f}"
    return re.sub(r"^([+-]?)0\.", r"\1.", text).replace("-", "−")


class Tables:
    """All tables that are made from the results file."""

    def __init__(self, file: ResultsFile) -> None:
        self.lines = file.lines

    def all(self) -> dict[str, str]:
        """Return all tables: name → Markdown."""
        made = {"provenance": self.provenance(), "leak": self.leak()}
        for dataset in ALL_DATASETS:
            made[f"clicks {dataset}"] = self.clicks(dataset)
            made[f"lists {dataset}"] = self.lists(dataset)
            made[f"clicks {dataset}, differences"] = self.differences(dataset, "ctr", "honest", "AUC")
            made[f"lists {dataset}, differences"] = self.differences(dataset, "ranking", "", "NDCG@10")
        for dataset in DATASETS:
            made[f"spread {dataset}"] = self.spread(dataset)
            made[f"switches {dataset}"] = self.switches(dataset, "ctr", "honest", "AUC")
            made[f"switches of lists {dataset}"] = self.switches(dataset, "ranking", "", "NDCG@10")
        return made

    def machines(self) -> list[str]:
        """Return descriptions of the machines that the results are from."""
        return sorted({line["machine"] for line in self.lines.values()})

    def provenance(self) -> str:
        """Return a sentence on commands, machines, threads and dates of the results."""
        lines = list(self.lines.values())
        if not lines:
            return NOT_YET
        threads = " or ".join(map(str, sorted({line["threads"] for line in lines})))
        days = [line["when"][:10] for line in lines]
        when = min(days) if min(days) == max(days) else f"{min(days)} to {max(days)}"
        loads = [line["load"] for line in lines]
        return (
            f"`{COMMAND}`, then `{COMMAND.split(' --')[0]} --write`, on {'; '.join(self.machines())}; {threads} "
            f"thread{'' if threads == '1' else 's'} of torch, {when}, {len(lines):,} measurements, with other work "
            f"running (load {min(loads):.0f} to {max(loads):.0f})."
        )

    def values(self, dataset: str, part: str, protocol: str, row: Row, figure: str) -> dict[int, float]:
        """Return a metric of one row: seed → value."""
        return {
            key.seed: line["figures"][figure]
            for key, line in self._of(dataset, part, protocol, row)
            if line["figures"].get(figure) is not None
        }

    def _of(self, dataset: str, part: str, protocol: str, row: Row) -> list[tuple[Key, dict[str, Any]]]:
        wanted = (dataset, part, protocol, row.model, row.variant)
        return [
            (key, line) for key, line in self.lines.items()
            if (key.dataset, key.part, key.protocol, key.model, key.variant) == wanted
        ]  # fmt: skip

    def clicks(self, dataset: str) -> str:
        """Return the table of click-through metrics of a data set, one row per model."""
        columns = [column for column in CLICKS if column[1] == "honest" or dataset not in UNSEEN]
        header = ["", *(f"{'paper: ' if protocol == 'paper' else ''}{figure}" for figure, protocol in columns)]
        return self._figures(dataset, header, [("ctr", protocol, figure) for figure, protocol in columns])

    def lists(self, dataset: str) -> str:
        """Return the table of list metrics of a data set, one row per model."""
        return self._figures(dataset, ["", *LISTS], [("ranking", "", figure) for figure in LISTS])

    def _figures(self, dataset: str, header: list[str], columns: list[tuple[str, str, str]]) -> str:
        """Return a table of means ± standard deviations, the best mean of a column in bold, then epochs and seconds.

        Args:
            dataset: Name of the data set.
            header: Header of the table, without "epochs" and "s".
            columns: (part, protocol, metric) of each column.
        """
        part, protocol, _ = columns[0]
        body, refusing = [], []
        shown = [row for row in rows() if self._of(dataset, part, protocol, row)]
        found = [[self.values(dataset, *where[:2], row, where[2]) for where in columns] for row in shown]
        best = [
            max((summarise([*v.values()]).mean for v in column if v), default=0.0)
            for column in zip(*found, strict=True)
        ]
        seeds = max((len(values) for line in found for values in line), default=0)
        for row, line in zip(shown, found, strict=True):
            if not any(line):
                refusing.append(name_of(row))
                continue
            cells = [spread_cell(values, top, seeds) for values, top in zip(line, best, strict=True)]
            body.append([name_of(row), *cells, *self._cost(dataset, part, protocol, row)])
        if not body:
            return NOT_YET
        table = markdown([*header, "epochs", "s"], body)
        return table + (f"\n\nNot measured, because they refuse these data: {', '.join(refusing)}." if refusing else "")

    def _cost(self, dataset: str, part: str, protocol: str, row: Row) -> list[str]:
        lines = [line for _, line in self._of(dataset, part, protocol, row) if line["figures"]]
        if not lines:
            return ["–", "–"]
        epochs, seconds = (np.mean([line[name] for line in lines]) for name in ("epochs", "fit_s"))
        return [f"{epochs:.0f}" if epochs else "–", f"{seconds:.0f}" if seconds >= 10 else f"{seconds:.1f}"]

    def differences(self, dataset: str, part: str, protocol: str, figure: str) -> str:
        """Return the table of differences between a model with a graph and baselines or itself without it, by seed."""
        table, body = {(row.model, row.variant): row for row in rows()}, []
        for row in table.values():
            if not row.takes_graph or row.variant:
                continue
            own = self.values(dataset, part, protocol, row, figure)
            ablated = [other for other in table.values() if other.model == row.model and other.variant]
            others = [table[rival, ""] for rival in RIVALS[part]] + ablated
            found = [compare(own, self.values(dataset, part, protocol, other, figure)) for other in others]
            if any(found):
                marked = "" if ablated[0].variant == "without KG" else f" ({ablated[0].variant})"
                cells = [difference_cell(each) for each in found]
                body.append([row.model, *cells[:-1], cells[-1] + (marked if found[-1] else "")])
        header = [figure, *(f"less {rival}" for rival in RIVALS[part]), "less itself without KG"]
        return markdown(header, body) if body else NOT_YET

    def switches(self, dataset: str, part: str, protocol: str, figure: str) -> str:
        """Return the table of the whole models, and of each model with one part switched off."""
        body = []
        for name, switches in SWITCHES.items():
            if (name in MADE_FOR_LISTS) != (part == "ranking"):
                continue
            whole = self.values(dataset, part, protocol, Row(name, takes_graph=True), figure)
            table = [Row(name, takes_graph=True, ablation=switch) for switch in switches]
            found = [self.values(dataset, "switches", protocol, row, figure) for row in table]
            if not whole or not any(found):
                continue
            body.append([name, spread_cell(whole, np.inf, len(whole)), ""])
            for row, values in zip(table, found, strict=True):
                change = compare(values, whole)
                cells = [spread_cell(values, np.inf, len(whole)), difference_cell(change)]
                body.append([f"– {row.variant}", *cells])
        return markdown(["", figure, "minus the whole model"], body) if body else NOT_YET

    def leak(self) -> str:
        """Return the table of the AUC of users' counts alone, one row per data set."""
        body, probe = [], Row(PROBE, takes_graph=False)
        for dataset in DATASETS:
            found = [self.values(dataset, "leak", protocol, probe, "AUC") for protocol in ("honest", "paper")]
            if any(found):
                body.append([TITLES[dataset], *(spread_cell(values, np.inf, max(map(len, found))) for values in found)])
        return markdown(["AUC of the user's counts", "honest", "paper"], body) if body else NOT_YET

    def spread(self, dataset: str) -> str:
        """Return the table of how much results differ if only the seed of the training differs."""
        body = []
        for row in rows():
            values = self.values(dataset, "spread", "honest", row, "AUC")
            if values:
                s = summarise([*values.values()])
                cells = [number(value) for value in (s.mean, s.sd, s.least, s.mean - s.least)]
                body.append([row.model, *cells, str(s.n)])
        return markdown(["AUC", "mean", "sd", "worst", "mean − worst", "seeds"], body) if body else NOT_YET


def name_of(row: Row) -> str:
    """Return a row's name in a table."""
    return row.model if not row.variant else f"– {row.variant}"


def spread_cell(values: Mapping[int, float], best: float, seeds: int) -> str:
    """Return mean ± sd as text, in bold if the mean is `best`, with the number of seeds if it is not `seeds`."""
    if not values:
        return "–"
    found = summarise([*values.values()])
    text = number(found.mean) + (f" ± {number(found.sd)}" if found.n > 1 else "")
    text = f"**{text}**" if found.mean == best else text
    return text if found.n == seeds else f"{text} ({found.n})"


def difference_cell(found: Difference | None) -> str:
    """Return a difference as text: mean ± sd, wins/n."""
    if found is None:
        return "–"
    spread = f" ± {number(found.sd)}" if found.n > 1 else ""
    return f"{number(found.mean, sign=True)}{spread}, {found.wins}/{found.n}"
