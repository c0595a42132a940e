"""The command `kgplug demo`: the whole workflow, from an empty database to recommendations in Cypher."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from kgplug.cli.console import err, open_graph, open_runs, out, print_frame, step
from kgplug.data.sources.catalogue import DEMO
from kgplug.errors import UsageError, when_interrupted
from kgplug.graph.schema import DEMO_SCHEMA
from kgplug.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from kgplug.graph.graph import Graph
    from kgplug.jobs import GraphData

TRAINED = ("Popularity", "ItemKNN", "TransE", "MKR", "KGCN")
PUBLISHED = ("TransE", "MKR", "KGCN")
SETTINGS = {name: {"settings": "defaults"} for name in ("MKR", "KGCN")}  # choosing settings takes three times as long
NOTEBOOK = "notebooks/01_from_graph_to_recommendations.ipynb"


def add_to(app: typer.Typer) -> None:
    """Add the command of this module to the command line `app`."""
    app.command()(demo)


def demo() -> None:
    """Run the whole workflow on a public film data set and a real Neo4j, in about five minutes.

    Starts the local Neo4j and imports films, people and ratings. Trains TransE, MKR, KGCN and two baselines, and
    evaluates them. Trains TransE, MKR and KGCN again on all rows, publishes them, and shows some results.
    If interrupted, run it again: it keeps what is imported and trained.

    Example: `kgplug demo`
    """
    began = time.perf_counter()
    with step("Neo4j") as done:
        graph = open_graph()
        connection = graph.connection
        done.append(f"Neo4j {connection.server_version} {connection.edition} at {connection.uri}")
    kept = "Run the same command again: it keeps what is imported and trained."
    with graph, when_interrupted(lambda: kept):
        _refuse_foreign_data(graph)
        _import(graph)
        data = _read(graph)
        run_dirs = _train(data, TRAINED)
        with step("Evaluate on the test set, which no training has seen"):
            from kgplug import jobs

            tables = jobs.evaluate(graph, [run_dirs[name] for name in TRAINED], k=(10,))
        n_entities = 0 if data.knowledge is None else data.knowledge.n_entities
        for kind, table in tables.items():
            _print_metrics(kind, table, n_entities)
        _publish(graph, _train(data, PUBLISHED, final=True))
        _show(graph)
    out.print(f"\nDone in {time.perf_counter() - began:.0f} s.", style="bold green")
    _print_next_steps()


def _refuse_foreign_data(graph: Graph) -> None:
    """Refuse a database with labels that the demo does not use: the demo must not write into a user's own graph."""
    from kgplug.graph.catalog import OWN_LABELS
    from kgplug.graph.counts import read_counts

    labels = read_counts(graph.connection).labels
    foreign = sorted(labels.keys() - DEMO.labels - {*OWN_LABELS})
    counts = [f"{label} ({labels[label]:,})" for label in foreign if labels[label]]
    if counts:
        raise UsageError(
            f"The demo needs an empty database; the database at {graph.connection.uri} holds {', '.join(counts)}. "
            "Unset NEO4J_URI to use the local Neo4j, or name an empty database in NEO4J_DATABASE."
        )


def _import(graph: Graph) -> None:
    from kgplug.graph.importing.importer import import_folder

    with step(f"{DEMO.title}: {DEMO.description}") as done:
        folder = DEMO.fetch(Settings().downloads_dir)
        done.append(DEMO.terms)
    with step("Import with LOAD CSV") as done:
        if _is_imported(graph, folder):
            done.append("the graph already holds all of it")
            return
        report = import_folder(graph.connection, folder)
        done.append(
            f"{report.nodes_created:,} nodes and {report.relationships_created:,} relationships created "
            f"from {report.rows:,} rows in {len(report.files)} files"
        )


def _is_imported(graph: Graph, folder: Path) -> bool:
    """Return whether the graph has as many nodes, relationships and property values of nodes as the folder.

    After an interrupted import, the graph has fewer. A graph that an earlier version imported has fewer names.
    """
    from kgplug.data.sources.csv_folder import NODES, open_folder, read_blocks
    from kgplug.graph.catalog import OWN_LABELS
    from kgplug.graph.counts import count_patterns, read_counts
    from kgplug.graph.queries import quote

    types: Counter[str] = Counter()  # relationship type → number of relationships
    values: Counter[str] = Counter()  # property → number of nodes that have it
    for table in open_folder(folder):
        for block in read_blocks(table):
            if table.kind != NODES:
                types[table.type] += len(block.rows)
                continue
            for column, cells in zip(table.columns, zip(*block.rows, strict=True), strict=True):
                if column in (*table.keys, *table.properties):
                    values[column.name] += sum(cell != "" for cell in cells)
    own = " OR ".join(f"n:{label}" for label in OWN_LABELS)
    patterns = {name: f"(n WHERE n.{quote(name)} IS NOT NULL AND NOT ({own}))" for name in values}
    found = read_counts(graph.connection).types
    return types == {name: found.get(name, 0) for name in types} and values == count_patterns(
        graph.connection, patterns
    )


def _read(graph: Graph) -> GraphData:
    from kgplug import jobs

    with step("Read from Neo4j") as done:
        data = jobs.read(graph, DEMO_SCHEMA)
        done += [repr(data.interactions), repr(data.knowledge)]
    return data


def _train(data: GraphData, names: Sequence[str], *, final: bool = False) -> dict[str, Path]:
    """Train models, or reuse their earlier runs. Return the folder of each model's run.

    Args:
        data: Data of the graph.
        names: Names of the models.
        final: Train on all rows, for the number of epochs that was best on the validation set.
    """
    from kgplug import jobs

    runs, run_dirs = open_runs(), {}
    for name in names:
        with step(f"Train {name} on all rows" if final else f"Train {name}") as done:
            before = {info.id for info in runs.list()}
            run_dirs[name] = jobs.train(name, data, runs, settings=SETTINGS.get(name), reuse=True, final=final)
            info = runs.info(run_dirs[name])
            metrics = "" if final else "".join(f", {metric} {value}" for metric, value in info.metrics.items())
            done.append(f"run {info.id}{metrics}{' (trained before)' if info.id in before else ''}")
    return run_dirs


def _print_metrics(kind: str, table: pd.DataFrame, n_entities: int) -> None:
    """Print the metrics of the models of one kind, and below them what they mean."""
    from kgplug.data.kinds import Kind
    from kgplug.evaluation.metrics.catalogue import shown
    from kgplug.evaluation.metrics.metric import Shown

    table.index = [next(name for name in TRAINED if run.startswith(name.lower())) for run in table.index]
    print_frame(table[shown(table.columns, Shown.SUMMARY)], as_json=False)
    metrics = {str(name): row for name, row in table.to_dict("index").items()}
    explained = _lists_explained(metrics) if kind == Kind.RECOMMENDER else _links_explained(metrics, n_entities)
    out.print(f"{explained}\n", soft_wrap=not out.is_terminal)


def _lists_explained(metrics: Mapping[str, Mapping[Any, float]]) -> str:
    """Return what the metrics of recommenders mean, with the values of the model that has the best lists."""
    best = max(metrics, key=lambda name: metrics[name]["NDCG@10"])
    return (
        "AUC compares a film that the user likes with a film that the user has not rated. "
        f"{best} scores the liked one higher in {metrics[best]['AUC']:.0%} of such pairs; guessing does in 50%. "
        "The columns with @10 compare ten recommended films with the user's likes in the test set. "
        f"{best} finds at least one of these likes for {metrics[best]['hit@10']:.0%} of the users (hit@10)."
    )


def _links_explained(metrics: Mapping[str, Mapping[Any, float]], n_entities: int) -> str:
    """Return what the metrics of embeddings mean, with the values of the first model."""
    model, values = next(iter(metrics.items()))
    chance = sum(1 / rank for rank in range(1, n_entities + 1)) / n_entities  # if all ranks are equally likely
    return (
        f"Link prediction: {values['test rows']:,.0f} facts were hidden from {model}, such as who acted in a film. "
        f"For each end of a hidden fact, {model} ranks all {n_entities:,} entities. "
        f"MRR is the mean of 1 / rank of the right one: {values['MRR']:.4f}. A perfect order gives 1, "
        f"guessing {chance:.4f}. "
        f"In {values['hits@10']:.0%} of the cases, the right one is among the first ten (hits@10)."
    )


def _publish(graph: Graph, run_dirs: dict[str, Path]) -> None:
    from kgplug import jobs

    for name in PUBLISHED:
        with step(f"Publish {name}") as done:
            done += str(jobs.publish(graph, run_dirs[name])).splitlines()


def _show(graph: Graph) -> None:
    from kgplug.graph.answering.lookups import titles_of
    from kgplug.serving import explain

    graph.use(DEMO_SCHEMA)
    user, item = DEMO.example_user, DEMO.example_item
    frame = explain.recommendations(graph, user, model="MKR", k=10, reasons=True)
    print_frame(frame, as_json=False, title=f"MKR recommends to user {user}")
    out.print("because: a film that the user likes — relationship — what it shares with the recommended film\n")
    frame = explain.similar_items(graph, item, model="TransE", k=5)
    title = titles_of(graph.connection, DEMO_SCHEMA, [item])[item]
    print_frame(frame, as_json=False, title=f"TransE: films similar to {title} (film {item})")


def _print_next_steps() -> None:
    settings = Settings()
    own, item = settings.neo4j_uri is not None, DEMO.example_item
    where = settings.neo4j_uri if own else "the local Neo4j (`kgplug db status`; password file: `kgplug db path`)"
    stop = "" if own else "\n  Stop         kgplug db stop"
    book = f"\n  Notebook     {NOTEBOOK}   (pip install 'kgplug[notebook]')" if Path(NOTEBOOK).exists() else ""
    err.print(
        f"""
Next steps
  Connection   {where}
  Commands     kgplug recommend 7 --model KGCN     kgplug similar {item}     kgplug models     kgplug --help
  Queries      kgplug cypher                       lists the shipped queries; kgplug cypher recommend prints one{book}
  Your graph   export NEO4J_URI=… NEO4J_USERNAME=… NEO4J_PASSWORD=…; kgplug init; kgplug check{stop}""",
    )
