"""Measure again what a paper shows: on a graph, on a folder of CSV files, or on a data set that kgplug knows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kgplug.data.sources.catalogue import DATA_SETS
from kgplug.data.sources.csv_arrays import read_arrays
from kgplug.errors import UsageError
from kgplug.graph.graph import Graph
from kgplug.graph.schema import DEFAULT_FILE, GraphSchema
from kgplug.papers.experiment import PaperData
from kgplug.plain_text import counted


def data_of_graph(graph: Graph, schema: GraphSchema, *, progress: bool | None = None) -> PaperData:
    """Return the feedback and the triples of a graph.

    Raises:
        DataError: the graph has no feedback or no triples, or does not fit the schema.
    """
    interactions = graph.read_interactions(schema, progress=progress)
    return PaperData(f"the graph {schema.pattern}", interactions, graph.read_knowledge(schema, progress=progress))


def data_of_files(source: str, downloads_dir: Path, *, schema: GraphSchema | None = None) -> PaperData:
    """Return the feedback and the triples of a folder, or of a data set that kgplug knows, which is downloaded.

    Args:
        source: path of the folder, in the layout of docs/import.md, or name of the data set.
        downloads_dir: folder of downloads.
        schema: what the folder's files mean. None: kgplug.toml in the folder, else the default schema.

    Raises:
        UsageError: there is no such folder, or the schema describes feedback that is not one relationship type.
        DataError: a file is missing or bad, or the data set cannot be downloaded.
    """
    known = DATA_SETS.get(source)
    if known is not None:
        if schema is not None:
            raise UsageError("--schema describes your own data. Use it with --data graph or with a folder.")
        name, folder = known.title, known.fetch(downloads_dir)
        schema = GraphSchema.model_validate(known.schema)
    else:
        name, folder = f"the folder {Path(source).name}", Path(source)
        if not folder.is_dir():
            raise UsageError(
                f'--data {source}: expected "graph", a folder of CSV files, or one of {", ".join(DATA_SETS)}.'
            )
        if schema is None:
            schema = GraphSchema.load(folder / DEFAULT_FILE) if (folder / DEFAULT_FILE).exists() else GraphSchema()
    refuse_richer(schema)
    (feedback,) = schema.feedback
    interactions, knowledge = read_arrays(
        folder,
        user=schema.user.label,
        item=schema.item.label,
        feedback=feedback.type,
        title=schema.item.title,
        rating=feedback.rating,
        like_threshold=feedback.like_threshold,
    )
    return PaperData(name, interactions, knowledge)


def refuse_richer(schema: GraphSchema) -> None:
    """Raise UsageError if a schema says more than is used of a folder. Times are allowed: the splits are random."""
    used = {"type", "rating", "like_threshold", "direction", "name", "timestamp", "time_unit"}
    if (
        not schema.has_plain_feedback
        or schema.feedback[0].direction != "user_to_item"
        or schema.feedback[0].model_fields_set - used
        or schema.knowledge.model_fields_set - {"keys"}
    ):
        raise UsageError(
            "For a folder, kgplug papers understands only the labels of users and items, and one type of feedback from "
            "users to items with its rating and like_threshold. Import the folder with `kgplug import`, and use --data "
            "graph."
        )


def listed() -> Mapping[str, str]:
    """Return the name of each experiment → its title and the number of models and splits."""
    from kgplug.papers.catalogue import EXPERIMENTS

    return {
        name: f"{each.title} ({counted(len(each.contenders), 'model')}, {counted(each.repetitions, 'split')})"
        for name, each in EXPERIMENTS.items()
    }
