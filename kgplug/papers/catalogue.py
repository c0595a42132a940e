"""Every experiment that `kgplug papers` knows by name."""

from __future__ import annotations

from kgplug.papers import books_figure_3, books_figures_4_5, movies_figure_8, movies_table_2
from kgplug.papers.experiment import Experiment

EXPERIMENTS: dict[str, Experiment] = {
    module.EXPERIMENT.name: module.EXPERIMENT
    for module in (movies_table_2, movies_figure_8, books_figure_3, books_figures_4_5)
}
"""Experiments by name. To add one, write its file next to this one and add it here."""
