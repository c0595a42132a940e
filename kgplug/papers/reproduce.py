"""Measure an experiment: train its models on several splits. A killed command continues where it stopped."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kgplug import progress as reports
from kgplug.errors import KgplugError, when_interrupted
from kgplug.papers.experiment import Contender, Experiment, PaperData
from kgplug.papers.results import Key, Measurement, Results, ResultsFile
from kgplug.training.config import TrainedConfig

_log = logging.getLogger(__name__)
QUICK_REPETITIONS, QUICK_EPOCHS = 2, 2
CONTINUES = "Run the same command again to continue. It keeps what is already measured."


def reproduce(
    experiment: Experiment,
    data: PaperData,
    folder: Path,
    *,
    models: Sequence[str] | None = None,
    repetitions: int | None = None,
    quick: bool = False,
    progress: bool | None = None,
) -> Results:
    """Measure all contenders of an experiment by all its protocols.

    Args:
        experiment: the experiment.
        data: the data.
        folder: folder of the measurements. A measurement that is there, of the same data and settings, is not repeated.
        models: names of the contenders to measure; None: all or, with `quick`, a few.
        repetitions: number of splits. None: as in the paper or, with `quick`, two.
        quick: train for two epochs with default settings, to see what the result looks like in about a minute.
        progress: whether to show a progress bar. None: only on a terminal.

    Raises:
        UsageError: a name is not that of a contender.
        KgplugError: every contender refused the data; the first reason.
    """
    if models is None and quick:
        models = experiment.quick
    contenders = experiment.chosen(models)
    if quick:
        contenders = tuple(_quick(contender) for contender in contenders)
    n = repetitions or (QUICK_REPETITIONS if quick else experiment.repetitions)
    file = ResultsFile(folder / f"{experiment.name}-{data.fingerprint}{'-quick' if quick else ''}.jsonl")
    settings = {contender.name: _settings(contender) for contender in contenders}
    plan: list[Key] = [
        (contender.name, protocol, repetition)
        for repetition in range(n)
        for protocol in experiment.protocols
        for contender in contenders
    ]
    left = [key for key in plan if not file.has(key, settings[key[0]])]
    by_name = {contender.name: contender for contender in contenders}
    with (
        when_interrupted(lambda: CONTINUES if file.found else None),
        reports.bar(
            len(plan), what=experiment.name, unit="training", progress=progress, initial=len(plan) - len(left)
        ) as bar,
    ):
        for key in left:
            measured = _measured(experiment, by_name[key[0]], data, key, settings[key[0]])
            file.add(key, measured)
            bar.show(f"{key[0]}, {key[1]}")
            bar.update(1)
    found = {key: file.found[key] for key in plan}
    refused = [each.refused for each in found.values() if each.refused]
    if len(refused) == len(found):
        raise KgplugError(f"No model could be measured. The first reason: {refused[0]}")
    return Results(experiment, contenders, n, found, quick)


def _measured(
    experiment: Experiment, contender: Contender, data: PaperData, key: Key, settings: dict[str, Any]
) -> Measurement:
    """Measure one contender on one split. If it refuses the data, keep the reason and go on."""
    _, protocol, repetition = key
    began, refused = time.perf_counter(), ""
    try:
        rows = experiment.measure(contender, protocol, data, repetition)
    except KgplugError as error:
        rows, refused = {}, str(error)
        _log.warning("%s, %s: %s", contender.name, protocol, error)
    return Measurement(rows, round(time.perf_counter() - began, 2), refused, settings)


def _settings(contender: Contender) -> dict[str, Any]:
    return contender.create().config.model_dump(mode="json")


def _quick(contender: Contender) -> Contender:
    """Return a contender that trains for two epochs, without a choice of settings."""
    config = contender.create().config
    more: dict[str, Any] = {"settings": "defaults"} if "settings" in type(config).model_fields else {}
    if isinstance(config, TrainedConfig):
        more["epochs"] = QUICK_EPOCHS
    if "embedding_settings" in type(config).model_fields:
        more["embedding_settings"] = {"epochs": QUICK_EPOCHS}
    return replace(contender, settings={**contender.settings, **more})
