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
from kgplug.renamed import renamed

if TYPE_CHECKING:
    from kgplug.data.publication import Predictions
    from kgplug.embeddings.link_predictor import LinkPredictor
    from kgplug.embeddings.prediction import Question


@renamed(top="k")
def predict(
    graph: Graph,
    run_dir: Path,
    relation: str,
    *,
    head_label: str | None = None,
    tail_label: str | None = None,
    head: int | str | None = None,
    tail: int | str | None = None,
    k: int = 10,
    announce: Callable[[Question], None] | None = None,
    progress: bool | None = None,
) -> Predictions:
    """Return the most plausible triples of a relation that are not in the graph now.

    Args:
        graph: Graph on which the run was trained.
        run_dir: Folder of an embedding's run.
        relation: Relationship type.
        head_label, tail_label, head, tail: Restrict the heads and tails, as in `kgplug.embeddings.prediction.ask`.
        k: Number of triples.
        announce: Called before the scoring, with the pairs to score.
        progress: Whether to show progress bars. None: only on a terminal.

    Raises:
        UsageError: The run is not an embedding, or the relation, a label or a key is unknown.
        RunError: The run is damaged, or was trained on another database.
    """
    from kgplug.embeddings.prediction import ask, predict

    content = read_content(run_dir)
    refuse_other_graph(graph_identity(graph.connection, None), run_dir, content)
    if Kind(content["kind"]).gives_lists:
        raise UsageError(f"{content['model']} is a recommender. Embeddings, such as TransE, and Rules predict links.")
    model = cast("LinkPredictor", models.load(run_dir))
    ends: dict[str, Any] = {"head_label": head_label, "tail_label": tail_label, "head": head, "tail": tail}
    try:
        known = graph.read_knowledge(GraphSchema.model_validate(content["schema"]), progress=progress)
    except DataError as error:
        raise RunError(f"Run {run_dir.name} cannot predict links in this graph: {error.found}") from error
    question = ask(model, known, relation, **ends)
    if announce is not None:
        announce(question)
    return predict(model, question, k=k, progress=progress)
