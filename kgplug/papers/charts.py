"""Charts of an experiment's results."""

# matplotlib's type hints leave out the types of **kwargs.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from kgplug.papers.results import Results

MEASURED, PRINTED = "#0b6bcb", "#b3b3b3"


def bars(results: Results, metric: str) -> Figure:
    """Draw one bar per row and protocol with its standard deviation, and the paper's values next to the first."""
    protocols = [each for each in results.experiment.protocols if results.rows(each)]
    figure, grid = _figure(1, len(protocols), width=5.2, height=0.34 * len(results.contenders) + 1.4)
    for number, (protocol, axes) in enumerate(zip(protocols, grid, strict=True)):
        found = results.summaries(protocol, metric)
        names = [*found][::-1]
        place = np.arange(len(names), dtype=np.float64)
        printed = {name: row[metric] for name, row in results.experiment.printed.items() if metric in row}
        beside = number == 0 and bool(printed.keys() & set(names))
        height = 0.4 if beside else 0.7
        axes.barh(
            place + (0.2 if beside else 0),
            [found[name].mean for name in names],
            xerr=[np.nan_to_num(found[name].sd) for name in names],
            height=height,
            color=MEASURED,
            label="measured here",
        )
        if beside:
            axes.barh(place - 0.2, [printed.get(name, 0) for name in names], height=height, color=PRINTED)
            axes.barh([0], [0], color=PRINTED, label="printed in the paper")
            figure.legend(frameon=False, loc="outside lower center", ncols=2)
        axes.set(yticks=place, yticklabels=names, xlabel=metric, title=f"protocol: {protocol}")
        values = [found[name].mean for name in names] + ([*printed.values()] if beside else [])
        axes.set_xlim(left=max(0.0, min(values, default=0.0) - 0.1))
        axes.grid(axis="x", alpha=0.3)
    return figure


def curves(results: Results, metrics: Sequence[str], at: Sequence[int], x: str, y: str) -> Figure:
    """Draw one curve per row, with its peak marked."""
    (protocol,) = results.experiment.protocols
    figure, (axes,) = _figure(1, 1, width=8, height=5)
    columns = [results.values(protocol, metric) for metric in metrics]
    for number, name in enumerate(results.rows(protocol)):
        means = np.array([np.mean([*column[name].values()]) for column in columns if name in column])
        if len(means) != len(at):
            continue
        peak = int(means.argmax())
        colour, style = f"C{number % 10}", ("-", "--")[number // 10 % 2]
        axes.plot(at, means, style, color=colour, label=f"{name} (peak at {at[peak]})")
        axes.plot(at[peak], means[peak], "o", color=colour)
    axes.set(xlabel=x, ylabel=y)
    axes.legend(frameon=False, ncols=2)
    axes.grid(alpha=0.3)
    return figure


def panels(results: Results, metrics: Sequence[str], lengths: Sequence[int]) -> Figure:
    """Draw a panel per metric: its values by the length of the list, one curve per row."""
    (protocol,) = results.experiment.protocols
    figure, grid = _figure(1, len(metrics), width=4.8, height=4)
    for metric, axes in zip(metrics, grid, strict=True):
        found = [results.summaries(protocol, f"{metric}@{length}") for length in lengths]
        for name in results.rows(protocol):
            _line(
                axes, range(len(lengths)), [each[name].mean for each in found], [each[name].sd for each in found], name
            )
        axes.set(xticks=range(len(lengths)), xticklabels=lengths, xlabel="length of the list", ylabel=metric)
        axes.grid(alpha=0.3)
    grid[-1].legend(frameon=False)
    return figure


def by_row(results: Results, metrics: Sequence[str], x: str) -> Figure:
    """Draw a panel per metric: its value for each row, with the best one marked."""
    (protocol,) = results.experiment.protocols
    figure, grid = _figure(1, len(metrics), width=4, height=3.4)
    names = results.rows(protocol)
    for metric, axes in zip(metrics, grid, strict=True):
        found = results.summaries(protocol, metric)
        means = [found[name].mean for name in names]
        _line(axes, range(len(names)), means, [found[name].sd for name in names], "")
        best = int(np.argmax(means))
        axes.plot(best, means[best], "o", color="C3", markersize=9, fillstyle="none")
        axes.set(xticks=range(len(names)), xlabel=x, ylabel=metric)
        axes.set_xticklabels(names, rotation=60)
        axes.grid(alpha=0.3)
    return figure


def _line(axes: Axes, x: Sequence[int], means: Sequence[float], sds: Sequence[float], label: str) -> None:
    axes.errorbar(x, means, yerr=np.nan_to_num(np.array(sds)), marker=".", capsize=2, label=label)


def _figure(rows: int, columns: int, *, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """Return a new figure and its axes; `width` and `height` of one panel are in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, [*np.atleast_1d(figure.subplots(rows, columns)).ravel()]
