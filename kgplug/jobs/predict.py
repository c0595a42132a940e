"""Find the most plausible triples that are not in the graph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from kgplug import models
from kgplug.data.artefact import read_content
from kgplug.data.kinds import Kind
from kgplug.errors import DataError, RunError, UsageError
from kgplug.graph.graph import Graph
from kgplug.graph.identity import graph_identity
from kgplug.graph.schema import GraphSchema
from kgplug.jobs.data import refuse_other_graph

if TYPE_CHECKING:
    from kgplug.data.publication import Predictions
    from kgplug.embeddings.model import EmbeddingModel
    from kgplug.embeddings.prediction import Question


def predict(
    graph: Graph,
    folder: Path,
    relation: str,
    *,
    head_label: str | None = None,
    tail_label: str | None = None,
    head: int | str | None = None,
    tail: int | str | None = None,
    top: int = 10,
    announce: Callable[[Question], None] | None = None,
    progress: bool | None = None,
) -> Predictions:
    """Return the most plausible triples of a relation that are not in the graph at this moment.

    Args:
        folder: of an embedding's run.
        announce: is told what will be scored before it is; see `kgplug.embeddings.prediction` for the other ones.

    Raises:
        UsageError: the run is no embedding; unknown relation, label or key.
    """
    from kgplug.embeddings.prediction import ask, predict

    content = read_content(folder)
    refuse_other_graph(graph_identity(graph.connection, None), folder, content)
    if Kind(content["kind"]).gives_lists:
        raise UsageError(f"{content['model']} is a recommender; links are predicted by an embedding, such as TransE.")
    model = cast("EmbeddingModel", models.load(folder))
    ends: dict[str, Any] = {"head_label": head_label, "tail_label": tail_label, "head": head, "tail": tail}
    try:
        known = graph.read_knowledge(GraphSchema.model_validate(content["schema"]), progress=progress)
    except DataError as error:
        raise RunError(f"Run {folder.name} cannot predict links in this graph: {error.found}") from error
    question = ask(model, known, relation, **ends)
    if announce is not None:
        announce(question)
    return predict(model, question, k=top, progress=progress)
