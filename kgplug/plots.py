"""Figures (matplotlib) of trainings and embeddings, for notebooks and files."""

# matplotlib's type hints leave out the types of **kwargs.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from kgplug.errors import DataError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from kgplug.embeddings.link_predictor import LinkPredictor
    from kgplug.embeddings.model import EmbeddingModel
    from kgplug.recommenders.base import Recommender

LOSS_COLOUR, VALIDATION_COLOUR = "#7a7a7a", "#0b6bcb"
POINTS_PER_LABEL = 2000
_SLICES_PER_ROW = 4
_MAX_CHOICES = 5  # a numeric setting with more values than this gets a numeric axis


def training_curve(history: dict[str, Any], *, title: str = "", ax: Axes | None = None) -> Axes:
    """Draw the loss of each epoch and, if there is one, the validation metric.

    With a validation metric, a dotted line marks the epoch whose weights were kept.

    Args:
        history: `model.history` of a trained model.
        title: Title of the axes.
        ax: Axes to draw on; None makes a figure.

    Raises:
        DataError: the model was not trained by gradient descent.
    """
    axes = _axes(ax)
    if not history.get("losses"):
        raise DataError("There is no training curve: this model was not trained by gradient.")
    epochs = np.arange(1, len(history["losses"]) + 1)
    axes.plot(epochs, history["losses"], color=LOSS_COLOUR, label="loss (left)")
    axes.set(xlabel="epoch", ylabel="training loss", title=title)
    _whole_numbers(axes)
    lines = axes.get_lines()
    if chosen_by := history.get("lists") or history.get("validation"):
        right = axes.twinx()
        right.plot(epochs, chosen_by, color=VALIDATION_COLOUR, marker=".", label="validation (right)")
        right.set_ylabel("validation NDCG@10" if history.get("lists") else "validation metric")
        axes.axvline(history["best_epoch"] + 1, color=VALIDATION_COLOUR, linestyle=":", linewidth=1)
        lines = [*lines[:1], *right.get_lines()]
    axes.legend(handles=lines, frameon=False, loc="center right")
    if ax is None:
        axes.figure.tight_layout()  # type: ignore[union-attr]
    return axes


def entity_map(model: EmbeddingModel, *, labels: Sequence[str] | None = None, ax: Axes | None = None) -> Axes:
    """Draw the entity vectors in two dimensions (their first two principal components), coloured by label.

    Args:
        model: A trained embedding.
        labels: Labels to draw, in this order; all by default. At most 2,000 entities per label are drawn.
        ax: Axes to draw on; None makes a figure.

    Raises:
        DataError: one of the labels belongs to no entity.
    """
    axes = _axes(ax)
    vectors = model.entity_vectors()
    centred = vectors - vectors.mean(axis=0)
    _, _, components = np.linalg.svd(centred[:: max(1, len(centred) // 20_000)], full_matrices=False)
    points = centred @ components[:2].T  # (n_entities, 2)
    wanted = list(labels) if labels is not None else sorted(set(model.entity_labels))
    rng, colours = np.random.default_rng(0), _colours(wanted)
    for label in wanted:
        rows = np.flatnonzero(model.entity_labels == label)
        if len(rows) == 0:
            raise DataError(
                f"No entity has the label {label!r}. Labels: {', '.join(sorted(set(model.entity_labels)))}."
            )
        rows = rng.permutation(rows)[:POINTS_PER_LABEL]
        axes.scatter(*points[rows].T, s=6, alpha=0.5, linewidths=0, color=colours[label], label=label or "entity")
    axes.set(title=f"{model.name}: entities by label", xticks=[], yticks=[], xlabel="first component", ylabel="second")
    axes.legend(frameon=False, markerscale=3, loc="upper left", bbox_to_anchor=(1, 1))
    if ax is None:
        axes.figure.tight_layout()  # type: ignore[union-attr]
    return axes


def run_figure(model: LinkPredictor | Recommender) -> Figure:
    """Draw one trained model: its training curve and, for an embedding, the map of its entities.

    Raises:
        DataError: the model has no training curve and no vectors.
    """
    from kgplug.embeddings.model import EmbeddingModel

    embedding, trained = isinstance(model, EmbeddingModel), bool(model.history.get("losses"))
    if not embedding and not trained:
        raise DataError(f"There is nothing to draw of {model.name}: it was not trained by gradient.")
    figure = _figure((7.0 * (embedding + trained), 4.5))
    axes = list(figure.subplots(1, embedding + trained, squeeze=False)[0])
    if trained:
        training_curve(model.history, title=f"{model.name}: training", ax=axes[0])
    if isinstance(model, EmbeddingModel):
        entity_map(model, ax=axes[-1])
    return figure


def comparison_figure(histories: Mapping[str, dict[str, Any]], metrics: pd.DataFrame) -> Figure:
    """Draw several runs: a curve of the validation metric by epoch, and the metrics as bars.

    If any run has no validation set, the curves of all runs show the loss instead.

    Args:
        histories: Name → `model.history`. A model with an empty history gets no curve.
        metrics: One row per run, indexed by the run's name, and one column per metric. All values are between 0 and 1.
            May be empty.

    Raises:
        DataError: no run has a curve or a metric.
    """
    trained = {name: history for name, history in histories.items() if history.get("losses")}
    panels = bool(trained) + bool(metrics.size)
    if panels == 0:
        raise DataError("There is nothing to draw: no run has a training curve, and none was evaluated.")
    figure = _figure((7.0 * panels, 4.5))
    axes = list(figure.subplots(1, panels, squeeze=False)[0])
    colours = _colours([*dict.fromkeys([*histories, *metrics.index])])
    if trained:
        validated = all(history.get("validation") for history in trained.values())
        for name, history in trained.items():
            values = history["validation" if validated else "losses"]
            axes[0].plot(np.arange(1, len(values) + 1), values, color=colours.get(name), marker=".", label=name)
            best = history["best_epoch"]
            axes[0].plot(best + 1, values[best], color=colours.get(name), marker="o", markersize=9, fillstyle="none")
        what = "validation metric (ring: the weights kept)" if validated else "training loss"
        axes[0].set(xlabel="epoch", ylabel=what, title="Training")
        _whole_numbers(axes[0])
    if metrics.size:
        _bars(axes[-1], metrics, colours)
    handles = {label: handle for each in axes for handle, label in zip(*each.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, frameon=False)
    return figure


def _bars(axes: Axes, metrics: pd.DataFrame, colours: Mapping[str, Any]) -> None:
    positions, width = np.arange(metrics.shape[1]), 0.8 / len(metrics)
    for row, (name, values) in enumerate(metrics.iterrows()):
        where = positions + (row - (len(metrics) - 1) / 2) * width
        bars = axes.bar(where, values, width, color=colours.get(str(name)), label=str(name))
        if len(metrics) * metrics.shape[1] <= 20:
            axes.bar_label(bars, fmt="%.3f", fontsize=7, rotation=90, padding=2)
    axes.set_xticks(positions, list(metrics.columns))
    axes.set(title="Test set")
    axes.margins(y=0.15)


def trials_figure(trials: pd.DataFrame, searched: Sequence[str], *, title: str, metric: str) -> Figure:
    """Draw a search for settings: the metric by trial, the best metric so far, and the metric by value of each setting.

    Args:
        trials: One row per trial, as in `Tuning.trials`.
        searched: Names of the searched settings, which are columns of `trials`.
        title: Title of the figure.
        metric: Name of the metric, for the axis.
    """
    rows = -(-len(searched) // _SLICES_PER_ROW)
    figure = _figure((11.0, 3.2 + 2.3 * rows))
    grid = figure.add_gridspec(1 + rows, _SLICES_PER_ROW, height_ratios=[1.4] + [1.0] * rows)
    column = {str(name): values for name, values in trials.items()}
    top, numbers, found = figure.add_subplot(grid[0, :]), column["trial"], column["metric"]
    top.step(numbers, column["best"], where="post", color=VALIDATION_COLOUR, label="best so far")
    top.scatter(numbers, found, color=LOSS_COLOUR, s=18, zorder=3, label="trial")
    for state, colour, marker in (("pruned", LOSS_COLOUR, "|"), ("failed", "#c0392b", "x")):
        others = numbers[column["state"] == state]
        if len(others):
            top.scatter(others, [found.min()] * len(others), color=colour, marker=marker, s=24, label=state)
    top.set(xlabel="trial", ylabel=metric)
    top.set_title(title, loc="left")
    top.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=3)
    _whole_numbers(top)
    for number, name in enumerate(searched):
        axes = figure.add_subplot(grid[1 + number // _SLICES_PER_ROW, number % _SLICES_PER_ROW])
        _slice(axes, column[name], found, numbers)
        axes.set_title(name.partition(".")[2] or name, fontsize=10)
    return figure


def _slice(axes: Axes, values: pd.Series, found: pd.Series, numbers: pd.Series) -> None:
    """Draw the metric by the value of one setting; later trials are darker.

    Args:
        axes: Axes to draw on.
        values: Value of the setting in each trial.
        found: Metric of each trial.
        numbers: Number of each trial.
    """
    from matplotlib.ticker import NullLocator

    measured = found.notna() & values.notna()
    values = values.loc[measured]
    choices = sorted(set(values))
    if pd.api.types.is_numeric_dtype(values) and len(choices) > _MAX_CHOICES:
        at = values.to_numpy(dtype=float)
        if at.min() > 0 and at.max() / at.min() > 10:
            axes.set_xscale("log")
            axes.xaxis.set_minor_locator(NullLocator())
            ticks = np.geomspace(float(at.min()), float(at.max()), 3)
            axes.set_xticks(ticks, [f"{tick:.2g}" for tick in ticks])
    else:
        at = np.array([choices.index(value) for value in values], dtype=float)
        axes.set_xticks(range(len(choices)), [str(choice) for choice in choices])
        axes.margins(x=0.2)
    axes.scatter(
        at, found.loc[measured], c=numbers.loc[measured], cmap="Blues", vmin=-len(numbers) / 2, s=18, linewidths=0
    )
    axes.tick_params(labelsize=8)


def _figure(size: tuple[float, float]) -> Figure:
    """Return an empty figure of `size`, (width, height) in inches, that needs no display."""
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained")


def _whole_numbers(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _colours(names: Sequence[str]) -> dict[str, Any]:
    """Return one colour per name; up to twenty names get different ones."""
    from matplotlib import colormaps

    dark_then_light = [*range(0, 20, 2), *range(1, 20, 2)]
    return {name: colormaps["tab20"](dark_then_light[number % 20]) for number, name in enumerate(names)}


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    from matplotlib import pyplot

    return pyplot.subplots(figsize=(7, 4))[1]
