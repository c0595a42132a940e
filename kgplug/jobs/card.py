"""A run on one page: its data, settings, metrics, lists and limits, and how to load and publish it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kgplug import jobs, models, plots
from kgplug.data.artefact import read_artefact, read_content
from kgplug.data.graph_identity import GraphIdentity
from kgplug.data.row_memory import TEST, TRAINING, VALIDATION, RowMemory
from kgplug.errors import RunError
from kgplug.evaluation.metrics.catalogue import metric_of, shown
from kgplug.evaluation.metrics.metric import Shown
from kgplug.graph.graph import Graph
from kgplug.graph.schema import GraphSchema
from kgplug.jobs.controls import refuse_controls, train_controls
from kgplug.jobs.data import split_of
from kgplug.pages import Page
from kgplug.plain_text import counted
from kgplug.training.runs import Runs

if TYPE_CHECKING:
    import pandas as pd

    from kgplug.models import Model

LENGTHS = (10, 20)
_LIMITS = (
    "The metrics are those of one split and one training. Other seeds give other numbers; `kgplug compare` with "
    "another --seed shows how far they differ.",
    "The intervals say how much the metrics would differ for other users of the same kind. They do not cover the "
    "differences between trainings.",
    "The test rows are a sample of the feedback that exists. What users would do with lists that they were shown may "
    "differ.",
)


def card(graph: Graph, run_dir: Path, runs: Runs, *, controls: bool = False, progress: bool | None = None) -> Page:
    """Measure a run on the graph that it was trained on, and describe it on one page.

    Args:
        graph: the graph that the run was trained on.
        run_dir: folder of the run.
        runs: the runs on this machine.
        controls: also train the model without its graph and with a shuffled one, if this has not been done.
        progress: Whether to show progress bars. None: only on a terminal.

    Raises:
        RunError: the run is damaged, does not record its graph, was trained on another graph, or has no test row left.
        UsageError: `controls` for a model that does not learn from likes and triples.
    """
    arrays, content = read_artefact(run_dir)
    if not content.get("schema"):
        raise RunError(
            f"Run {run_dir.name} does not record its graph, so it cannot be measured. Train with `kgplug train`."
        )
    memory, model = RowMemory.from_arrays(arrays), models.restored(run_dir, arrays, content)
    measured, notes = {"": run_dir}, list[str]()
    if controls:
        refuse_controls([model], None)
        origin = read_content(runs.path(content["origin"])) if content.get("origin") else content
        controlled, notes = _controls(graph, origin, runs, progress)
        measured |= controlled
    pairs = [(path, run_dir) for name, path in measured.items() if name]
    found = jobs.evaluate(
        graph, list(measured.values()), k=LENGTHS, beyond=True, pairs=pairs, intervals=True, progress=progress
    )
    table = found[content["kind"]]
    page = Page(f"{content['model']}: run {run_dir.name}")
    _about(page, content, model)
    _data(page, content, model, memory)
    _settings(page, content)
    row = dict(zip(map(str, table.columns), table.loc[[run_dir.name]].to_numpy()[0].tolist(), strict=True))
    _metrics(page, row, table.attrs["intervals"].get(run_dir.name, {}))
    if controls:
        _with_and_without(page, table, {name: path.name for name, path in measured.items()}, notes)
    if model.history.get("losses"):
        page.heading("Training")
        page.picture(plots.run_figure(model), f"Loss and validation metric of {content['model']} by epoch")
    _lists(page, row)
    page.heading("Limits")
    page.points([*table.attrs["health"].get(run_dir.name, []), *table.attrs["notes"], *_LIMITS])
    page.heading("Load and publish")
    page.code(f"import kgplug\n\nmodel = kgplug.load({str(run_dir)!r})")
    page.code(f"kgplug publish {run_dir.name}")
    return page


def _controls(
    graph: Graph, content: dict[str, Any], runs: Runs, progress: bool | None
) -> tuple[dict[str, Path], list[str]]:
    """Train the controls of a run with its settings, split and seed.

    Return name of the control → folder of its run, and a sentence for each control that could not be trained.
    """
    schema = GraphSchema.model_validate(content["schema"])
    fresh = models.create(content["model"], **content["settings"])
    data = jobs.read(graph, schema, model=fresh, progress=progress)
    trained: dict[str, Path] = {}
    options: dict[str, Any] = {"split": split_of(content), "seed": content["seed"], "progress": progress}
    notes = train_controls(fresh, data, runs, trained, **options)
    return {name.removeprefix(f"{fresh.name} "): path for name, path in trained.items()}, notes


def _about(page: Page, content: Mapping[str, Any], model: Model) -> None:
    paper = next((info.paper for info in models.available() if info.name == content["model"]), "")
    page.note(paper)
    rows = [
        ["trained", str(content.get("created", "unknown"))[:16].replace("T", " ") + " UTC"],
        ["duration", f"{content['seconds']:,} s" if content.get("seconds") else "unknown"],
        ["learns from", str(model.inputs)],
        ["seed", str(content["seed"])],
    ]
    if content.get("origin"):
        rows.append(["settings and metrics", f"of run {content['origin']}; this run was trained on all rows"])
    page.table(["", ""], rows, of_text=True)


def _data(page: Page, content: Mapping[str, Any], model: Model, memory: RowMemory | None) -> None:
    page.heading("Data")
    identity = GraphIdentity.of_run(content)
    names = {"users": "user_keys", "items": "item_keys", "entities": "entity_keys", "relations": "relations"}
    rows = [["graph", str(identity)]]
    rows += [[name, f"{len(getattr(model, key)):,}"] for name, key in names.items() if hasattr(model, key)]
    if memory is not None:
        sets = {"training rows": TRAINING, "validation rows": VALIDATION, "test rows": TEST}
        rows += [[name, f"{memory.count(code):,}"] for name, code in sets.items()]
    split = content["split"]
    shares = " : ".join(f"{share:g}" for share in split["fractions"])
    rows.append(["split", f"{shares}, by {split['by']}, {split['order']}, seed {split['seed']}"])
    rows += [[f"fingerprint of {what}", digest[:16]] for what, digest in (content.get("data") or {}).items() if digest]
    page.table(["", ""], rows, of_text=True)


def _settings(page: Page, content: Mapping[str, Any]) -> None:
    """Add the settings, and for each where it comes from: the defaults, the user, or the validation set."""
    page.heading("Settings")
    tried = content.get("tried") or []
    chosen = next((trial["settings"] for trial in tried if trial["chosen"]), {})
    defaults = models.create(content["model"]).config.model_dump(mode="json")
    rows = []
    for name, value in sorted(content["settings"].items()):
        origin = "chosen on the validation set" if name in chosen else "default"
        if name not in chosen and name in defaults and json.dumps(defaults[name]) != json.dumps(value):
            origin = "set, or adapted to the data"
        rows.append([name, json.dumps(value) if not isinstance(value, str) else value, origin])
    page.table(["setting", "value", "from"], rows, of_text=True)
    if tried:
        page.text(f"{counted(len(tried), 'choice')} of settings tried on the validation set:")
        page.table(
            ["settings", "metric", "value", "chosen"],
            [
                [
                    ", ".join(f"{name}={value}" for name, value in trial["settings"].items()) or "defaults",
                    str(trial["metric"]),
                    "–" if trial["value"] is None else f"{trial['value']:.4f}",
                    "yes" if trial["chosen"] else "",
                ]
                for trial in tried
            ],
            of_text=True,
        )


def _metrics(page: Page, row: Mapping[str, float], intervals: Mapping[str, tuple[float, float]]) -> None:
    page.heading("Metrics on the test set")
    columns = shown(row, Shown.TABLE)
    page.table(
        ["metric", "value", "95 % interval", "meaning"],
        [[name, f"{row[name]:.4f}", _interval(intervals.get(name)), _meaning(name)] for name in columns],
    )
    rows = f"{int(row['test rows']):,} test rows" if "test rows" in row else "the test rows"
    page.note(
        f"Measured on {rows}. Intervals: bootstrap over the test users; – marks metrics that are not means over users."
    )


def _with_and_without(page: Page, table: pd.DataFrame, named: Mapping[str, str], notes: Sequence[str]) -> None:
    page.heading("What the graph contributes")
    columns = [name for name in (f"NDCG@{LENGTHS[0]}", f"recall@{LENGTHS[0]}", "AUC") if name in table.columns]
    by_run = {run: name or "with its graph" for name, run in named.items()}
    values = table.loc[list(by_run), columns].to_numpy()
    rows = zip(by_run.values(), values, strict=True)
    page.table(["", *columns], [[name, *(f"{each:.4f}" for each in line)] for name, line in rows])
    for difference in table.attrs["differences"]:
        if difference.metric in columns:
            text = str(difference)
            for run, name in by_run.items():
                text = text.replace(run, name)
            page.note(text)
    for note in notes:
        page.note(note)


def _lists(page: Page, row: Mapping[str, float]) -> None:
    """Add what the lists contain, beyond how often they are right."""
    columns = [
        name
        for name in shown(row, Shown.BEYOND)
        if name not in shown([name], Shown.TABLE) or name.startswith("coverage@")
    ]
    if not columns:
        return
    page.heading("Lists")
    page.table(["metric", "value", "meaning"], [[name, f"{row[name]:.4g}", _meaning(name)] for name in columns])


def _meaning(column: str) -> str:
    metric = metric_of(column)
    return "" if metric is None else metric.description


def _interval(ends: tuple[float, float] | None) -> str:
    return "–" if ends is None or not np.isfinite(ends).all() else f"{ends[0]:.4f} to {ends[1]:.4f}"
