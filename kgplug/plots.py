"""Pictures of trainings and embeddings, for notebooks and files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kgplug.errors import DataError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from kgplug.embeddings.model import EmbeddingModel

LOSS_COLOUR, VALIDATION_COLOUR = "#7a7a7a", "#0b6bcb"
POINTS_A_LABEL = 2000


def training_curve(history: dict, *, title: str = "", ax: Axes | None = None) -> Axes:
    """Draw loss and validation figure by epoch; a dotted line marks the epoch whose weights were kept.

    Args:
        history: `model.history` of a trained model.
    """
    axes = _axes(ax)
    if not history.get("losses"):
        raise DataError("There is no training curve: this model was not trained by gradient.")
    epochs = np.arange(1, len(history["losses"]) + 1)
    axes.plot(epochs, history["losses"], color=LOSS_COLOUR, label="loss (left)")
    axes.set(xlabel="epoch", ylabel="training loss", title=title)
    lines = axes.get_lines()
    if history.get("validation"):
        right = axes.twinx()
        right.plot(epochs, history["validation"], color=VALIDATION_COLOUR, marker=".", label="validation (right)")
        right.set_ylabel("validation figure")
        axes.axvline(history["best_epoch"] + 1, color=VALIDATION_COLOUR, linestyle=":", linewidth=1)
        lines = [*lines[:1], *right.get_lines()]
    axes.legend(handles=lines, frameon=False, loc="center right")
    axes.figure.tight_layout()  # type: ignore[union-attr]
    return axes


def entity_map(model: EmbeddingModel, *, labels: Sequence[str] | None = None, ax: Axes | None = None) -> Axes:
    """Draw the entity vectors in two dimensions (their first two principal components), coloured by label.

    Args:
        model: a trained embedding.
        labels: which to draw, in this order; all by default. At most 2,000 entities of each are drawn.
    """
    axes = _axes(ax)
    vectors = model.entity_vectors()
    centred = vectors - vectors.mean(axis=0)
    _, _, components = np.linalg.svd(centred[:: max(1, len(centred) // 20_000)], full_matrices=False)
    points = centred @ components[:2].T  # (n_entities, 2)
    wanted = list(labels) if labels is not None else sorted(set(model.entity_labels))
    rng = np.random.default_rng(0)
    for label in wanted:
        rows = np.flatnonzero(model.entity_labels == label)
        if len(rows) == 0:
            raise DataError(
                f"No entity has the label {label!r}. Labels: {', '.join(sorted(set(model.entity_labels)))}."
            )
        rows = rng.permutation(rows)[:POINTS_A_LABEL]
        axes.scatter(*points[rows].T, s=6, alpha=0.5, linewidths=0, label=label or "entity")
    axes.set(title=f"{model.name}: entities by label", xticks=[], yticks=[], xlabel="first component", ylabel="second")
    axes.legend(frameon=False, markerscale=3)
    return axes


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    from matplotlib import pyplot

    return pyplot.subplots(figsize=(7, 4))[1]
