"""The command `kgplug demo`: the main job, from an empty database to recommendations in Cypher."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from kgplug.cli.console import err, open_graph, open_runs, out, print_frame, step
from kgplug.errors import UsageError, when_interrupted
from kgplug.graph.schema import DEMO_SCHEMA
from kgplug.settings import Settings

if TYPE_CHECKING:
    from kgplug.graph.graph import Graph
    from kgplug.jobs import GraphData

TRAINED = ("Popularity", "ItemKNN", "TransE", "MKR", "KGCN")
PUBLISHED = ("TransE", "MKR", "KGCN")
NOTEBOOK = "notebooks/01_from_graph_to_recommendations.ipynb"
SHOWN_USER = 42
SHOWN_MOVIE = 50  # Star Wars
SHOWN_COLUMNS = (
    *("AUC", "ACC", "precision@10", "recall@10", "NDCG@10", "hit@10"),  # of recommenders
    *("MRR", "hits@1", "hits@3", "hits@10", "MRR heads", "MRR tails"),  # of embeddings
)


def add_to(app: typer.Typer) -> None:
    """Register this command."""
    app.command()(demo)


def demo() -> None:
    """Run the main job on MovieLens-100K against a real Neo4j, in about five minutes.

    Starts the local Neo4j, imports films, people and ratings, trains TransE, MKR and KGCN beside two
    baselines, evaluates them, trains the three again on all rows, publishes them, and shows what
    Cypher can do with the result.
    Interrupted, it goes on where it was; run again, it is done sooner.

    Example: `kgplug demo`
    """
    began = time.perf_counter()
    with step("Neo4j") as done:
        graph = open_graph()
        connection = graph.connection
        done.append(f"Neo4j {connection.server_version} {connection.edition} at {connection.uri}")
    kept = "The same command, given again, keeps what is imported and trained."
    with graph, when_interrupted(lambda: kept):
        _refuse_foreign_data(graph)
        _import(graph)
        data = _read(graph)
        folders = _train(data, TRAINED)
        with step("Evaluate on the test part, which no training has seen"):
            from kgplug import jobs

            tables = jobs.evaluate(graph, [folders[name] for name in TRAINED], k=(10,))
        for table in tables.values():
            _print_metrics(table)
        _publish(graph, _train(data, PUBLISHED, final=True))
        _show(graph)
    out.print(f"\nDone in {time.perf_counter() - began:.0f} s.", style="bold green")
    _tell_how_to_go_on()


def _refuse_foreign_data(graph: Graph) -> None:
    """The demo writes Movie and User nodes: never into a database that holds somebody's own."""
    from kgplug.data.sources.movielens import LABELS
    from kgplug.graph.catalog import OWN_LABELS
    from kgplug.graph.counts import read_counts

    labels = read_counts(graph.connection).labels
    foreign = sorted(labels.keys() - LABELS - {*OWN_LABELS})
    counts = [f"{label} ({labels[label]:,})" for label in foreign if labels[label]]
    if counts:
        raise UsageError(
            f"The demo needs a database of its own; the one at {graph.connection.uri} holds {', '.join(counts)}. "
            "Unset NEO4J_URI to use the local Neo4j, or name an empty database in NEO4J_DATABASE."
        )


def _import(graph: Graph) -> None:
    from kgplug.data.sources.datasets import TERMS, fetch_movielens_100k
    from kgplug.graph.importing.importer import import_folder

    with step("MovieLens-100K with its Freebase knowledge graph") as done:
        folder = fetch_movielens_100k(Settings().downloads_dir)
        done.append(TERMS)
    with step("Import with LOAD CSV") as done:
        if _is_imported(graph, folder):
            done.append("the graph holds all of it already")
            return
        report = import_folder(graph.connection, folder)
        done.append(
            f"{report.nodes_created:,} nodes and {report.relationships_created:,} relationships created "
            f"from {report.rows:,} rows in {len(report.files)} files"
        )


def _is_imported(graph: Graph, folder: Path) -> bool:
    """Whether the graph has as many nodes, and relationships of each type, as the folder: a cut import has fewer."""
    from kgplug.data.sources.csv_folder import open_folder, read_blocks
    from kgplug.graph.catalog import OWN_LABELS
    from kgplug.graph.counts import read_counts

    expected: Counter[str] = Counter()  # nodes under ""
    for table in open_folder(folder):
        expected[table.type] += sum(len(block.rows) for block in read_blocks(table))
    counts = read_counts(graph.connection)
    found = {name: counts.types.get(name, 0) for name in expected}
    found[""] = sum(n for label, n in counts.labels.items() if label not in OWN_LABELS)
    return found == expected


def _read(graph: Graph) -> GraphData:
    from kgplug import jobs

    with step("Read from Neo4j") as done:
        data = jobs.read(graph, DEMO_SCHEMA)
        done += [repr(data.interactions), repr(data.knowledge)]
    return data


def _train(data: GraphData, names: Sequence[str], *, final: bool = False) -> dict[str, Path]:
    """Train models, or take the runs that were trained before.

    Args:
        data: of the graph.
        names: of the models.
        final: on all rows, with the epochs that the validation set has chosen before.
    """
    from kgplug import jobs

    runs, folders = open_runs(), {}
    for name in names:
        with step(f"Train {name} on all rows" if final else f"Train {name}") as done:
            before = {info.id for info in runs.list()}
            folders[name] = jobs.train(name, data, runs, reuse=True, final=final)
            info = runs.info(folders[name])
            figures = "" if final else "".join(f", {figure} {value}" for figure, value in info.metrics.items())
            done.append(f"run {info.id}{figures}{' (trained before)' if info.id in before else ''}")
    return folders


def _print_metrics(table: Any) -> None:
    table = table[[name for name in SHOWN_COLUMNS if name in table.columns]]
    table.index = [next(name for name in TRAINED if run.startswith(name.lower())) for run in table.index]
    print_frame(table, as_json=False)


def _publish(graph: Graph, folders: dict[str, Path]) -> None:
    from kgplug import jobs

    for name in PUBLISHED:
        with step(f"Publish {name}") as done:
            done += str(jobs.publish(graph, folders[name])).splitlines()


def _show(graph: Graph) -> None:
    from kgplug.serving import explain

    graph.use(DEMO_SCHEMA)
    frame = explain.recommendations(graph, SHOWN_USER, model="MKR", k=10, reasons=True)
    print_frame(frame, as_json=False, title=f"MKR recommends to user {SHOWN_USER}")
    frame = explain.similar_items(graph, SHOWN_MOVIE, model="TransE", k=5)
    print_frame(frame, as_json=False, title=f"TransE: films similar to film {SHOWN_MOVIE}")


def _tell_how_to_go_on() -> None:
    settings = Settings()
    own = settings.neo4j_uri is not None
    where = settings.neo4j_uri if own else "the local Neo4j (`kgplug db status`; password file: `kgplug db path`)"
    stop = "" if own else "\n  Stop         kgplug db stop"
    book = f"\n  Notebook     {NOTEBOOK}   (pip install 'kgplug[notebook]')" if Path(NOTEBOOK).exists() else ""
    err.print(
        f"""
How to go on
  Connection   {where}
  Commands     kgplug recommend 7 --model KGCN     kgplug similar 50     kgplug models     kgplug --help
  Queries      kgplug cypher                       lists the shipped ones; kgplug cypher recommend prints one{book}
  Your graph   export NEO4J_URI=… NEO4J_USERNAME=… NEO4J_PASSWORD=…; kgplug init; kgplug check{stop}""",
    )
