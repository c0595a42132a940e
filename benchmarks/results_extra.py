"""The contents of docs/lab-notes.md that do not come from `results_page.py`: curves, and the tables of `ckcf.py`."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
from ckcf import LENGTHS
from ckcf import table as means
from results_file import Key, ResultsFile
from results_page import DOCS, markdown, number
from results_rows import DATASETS, TITLES

from kgplug.plots import comparison_figure

CURVES = ("MF", "LightGCN", "MKR", "MKR-attention", "KGCN", "RippleNet", "CKE", "HiddenEdgeGCN")
_SHOWN_BELOW_LAST = 0.06  # the AUC axis begins this far below the lowest best AUC; only first epochs are lower


def ckcf_tables(path: Path) -> dict[str, str]:
    """Return the tables of a file that `ckcf.py --json` wrote: name → Markdown."""
    record = json.loads(path.read_text(encoding="utf-8"))
    made = {}
    for name, part, prefix in (
        ("ckcf", "models", ""), ("ckcf, cold books", "models", "cold "), ("ckcf, ratio", "ratio", ""),
    ):  # fmt: skip
        found = means(record["figures"], part, prefix)
        chosen = [f"{prefix}{figure}@{k}" for figure in ("precision", "recall", "F1") for k in LENGTHS]
        body = [
            [str(model), *(number(value) for value in line)]
            for model, line in zip(found.index, found[chosen].to_numpy(), strict=True)
        ]
        header = ["CF : KG" if part == "ratio" else "", *(column.removeprefix(prefix) for column in chosen)]
        made[name] = markdown(header, body)
    splits = len({row["split"] for row in record["figures"]})
    made["ckcf, provenance"] = (
        f"`python benchmarks/ckcf.py --json FILE`, mean of {splits} split{'' if splits == 1 else 's'}, "
        f"{record['machine']}, with other work running."
    )
    return made


def draw_curves(file: ResultsFile, models: list[str], folder: Path = DOCS) -> list[Path]:
    """Draw the validation AUC by epoch, of "honest" click-through with seed 0. Return the files, one per data set."""
    written = []
    for dataset in DATASETS:
        lines = {name: file.lines.get(Key(dataset, "ctr", "honest", name, "", 0)) for name in models}
        histories = {name: line["history"] for name, line in lines.items() if line and line["history"]["validation"]}
        if not histories:
            continue
        figure = comparison_figure(histories, pd.DataFrame())
        axes = figure.axes[0]
        best = [max(history["validation"]) for history in histories.values()]
        axes.set(
            xscale="log",
            ylim=(min(best) - _SHOWN_BELOW_LAST, max(best) + 0.005),
            ylabel="validation AUC (ring: the weights kept)",
            title=f"{TITLES[dataset]}, seed 0",
        )
        axes.xaxis.set_major_formatter("{x:.0f}")
        axes.grid(alpha=0.3)
        for line in axes.get_lines():
            line.set(marker="" if len(line.get_xdata()) > 1 else "o", linewidth=1.2)
        path = folder / f"curves-{dataset}.png"
        figure.savefig(path, dpi=100)
        written.append(path)
    return written
