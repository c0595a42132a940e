"""Commands that ask what the graph serves: recommend, similar, predict, rules."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kgplug.cli.completion import run_names, trained_models
from kgplug.cli.console import (
    Json,
    ListLength,
    SchemaFile,
    err,
    load_schema,
    note,
    open_graph,
    open_runs,
    print_frame,
    print_json,
)
from kgplug.cli.keys import entity_key, item_key, user_key
from kgplug.cli.this_graph import resolve_here, this_graph
from kgplug.errors import UsageError
from kgplug.graph.schema import DEFAULT_FILE, GraphSchema
from kgplug.plain_text import counted

if TYPE_CHECKING:
    from kgplug.embeddings.prediction import Question
    from kgplug.graph.answering.published_catalogues import Part, PublishedCatalogue
    from kgplug.graph.graph import Graph
    from kgplug.training.runs import Runs
from kgplug.cli.list_options import DiverseBy, Diversity, ItemLabels, Seen, SeenRows, Where, options_from

_MANY_SCORES = 10_000_000  # from this number of pairs on, scoring takes seconds, so a note is printed first
Model = Annotated[
    str | None,
    typer.Option("--model", "-m", help="A published model. Default: the newest one.", autocompletion=trained_models),
]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to the command line `app`."""
    for command in (recommend, similar, predict, rules):
        app.command(rich_help_panel="Serving")(command)


def recommend(
    user: Annotated[str, typer.Argument(help="The user's key.")],
    model: Model = None,
    k: ListLength = 10,
    reasons: Annotated[bool, typer.Option(help="Also show why: the path through the graph.")] = True,
    live: Annotated[
        bool,
        typer.Option("--live", help="Recompute the list with the published run. Works for users newer than the run."),
    ] = False,
    where: Where = None,
    labels: ItemLabels = None,
    diversity: Diversity = 0.0,
    diverse_by: DiverseBy = None,
    seen: Seen = SeenRows.all,
    user_label: Annotated[
        str | None,
        typer.Option(
            help="Label of the user. Default: that of kgplug.toml, or any label of a published model's users."
        ),
    ] = None,
    schema_file: SchemaFile = None,
    as_json: Json = False,
) -> None:
    """Show what the graph recommends to a user, and why.

    Without kgplug.toml, the published models say what users and items are. If models of several catalogues have a user
    with this key, such as films and books, the command asks which one is meant.

    By default the published list is shown. With --live, --where, --label, --diversity or --seen, the list is computed
    again with the published run, which must then be on this machine. Nothing is written to the graph.

    Examples: `kgplug recommend 42`, `kgplug recommend 42 --model KGCN -k 5 --json`, `kgplug recommend 42
    --where "item.year > 1990" --diversity 0.3`, `kgplug recommend 42 --label Documentary --seen train`,
    `kgplug recommend 42 --user-label Reader`
    """
    from kgplug.graph.publishing.options import ListOptions
    from kgplug.serving import explain
    from kgplug.serving.live import live_recommendations

    options = options_from(
        ListOptions, where=where, labels=labels, diversity=diversity, diverse_by=diverse_by, seen=seen
    )
    with open_graph() as graph:
        if not (model is None and _use_catalogue(graph, schema_file, "user", user, label=user_label)):
            use_schema(graph, schema_file, model)
        key = user_key(graph, user)
        if live or options.change_lists:
            frame = live_recommendations(graph, open_runs(), key, model=model, k=k, options=options, reasons=reasons)
        else:
            frame = explain.recommendations(graph, key, model=model, k=k, reasons=reasons)
    print_frame(frame, as_json=as_json, title=f"Recommended to {user}")


def similar(
    item: Annotated[str, typer.Argument(help="The item's key.")],
    model: Model = None,
    k: ListLength = 10,
    schema_file: SchemaFile = None,
    as_json: Json = False,
) -> None:
    """Show the items most similar to a given item, by the vectors of a published model.

    Examples: `kgplug similar 50`, `kgplug similar 50 --model TransE -k 5`
    """
    from kgplug.serving import explain

    with open_graph() as graph:
        if not (model is None and _use_catalogue(graph, schema_file, "item", item)):
            use_schema(graph, schema_file, model, vectors=True)
        frame = explain.similar_items(graph, item_key(graph, item), model=model, k=k)
    print_frame(frame, as_json=as_json, title=f"Similar to {item}")


def predict(
    run: Annotated[
        str | None,
        typer.Argument(
            help="A run of an embedding, or a model's name for its newest run. Default: the newest embedding.",
            autocompletion=run_names,
        ),
    ] = None,
    relation: Annotated[str, typer.Option(help="Relationship type to predict. Required.")] = "",
    head_type: Annotated[
        str | None, typer.Option(help="Label of the heads. Default: every label that heads of this relation have.")
    ] = None,
    tail_type: Annotated[
        str | None, typer.Option(help="Label of the tails. Default: every label that tails of this relation have.")
    ] = None,
    head: Annotated[str | None, typer.Option(help="Key of one head. Default: all.")] = None,
    tail: Annotated[str | None, typer.Option(help="Key of one tail. Default: all.")] = None,
    k: Annotated[int, typer.Option("--k", "-k", "--top", help="Number of triples.", min=1)] = 10,
    write: Annotated[bool, typer.Option("--write", help="Also write the triples as PREDICTED edges.")] = False,
    schema_file: SchemaFile = None,
    as_json: Json = False,
) -> None:
    """Show the most plausible relationships that are missing in the graph, as scored by an embedding or by Rules.

    --write replaces the model's earlier PREDICTED edges of that relation between the same labels.

    Examples: `kgplug predict --relation DIRECTED --tail-type Director`, `kgplug predict RotatE --relation ACTED_IN
    --head 42 -k 20 --write`
    """
    from kgplug import jobs

    if not relation:
        raise UsageError("Name the relationship type to predict, such as --relation DIRECTED.")
    store = open_runs()
    if run is not None:
        store.resolve(run)  # an unknown run is refused before the database is asked
    elif not any(info.gives_links for info in store.list()):
        raise UsageError("No embedding is trained yet. `kgplug train TransE` makes one.")
    with open_graph() as graph:
        run_dir = _embedding(store, run, graph, schema_file)
        found = jobs.predict(
            graph,
            run_dir,
            relation,
            head_label=head_type,
            tail_label=tail_type,
            head=entity_key(run_dir, head, label=head_type),
            tail=entity_key(run_dir, tail, label=tail_type),
            k=k,
            announce=_announce,
        )
        print_frame(found.to_dataframe(), as_json=as_json, title=f"{found.model} predicts")
        if write:
            counts = graph.write_predictions(found)
            err.print(str(counts))


def rules(
    run: Annotated[
        str,
        typer.Argument(help="A run of Rules, or Rules for its newest run.", autocompletion=run_names),
    ] = "Rules",
    relation: Annotated[
        str | None, typer.Option(help="Relationship type that the rules conclude. Default: all.")
    ] = None,
    k: Annotated[int, typer.Option("--k", "-k", "--top", help="Number of rules.", min=1)] = 20,
    cypher: Annotated[
        bool, typer.Option("--cypher", help="Print a Cypher query that applies these rules. Needs --relation.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show the best mined rules of a run, or print them as a plain Cypher query that predicts missing relationships.

    Rules about single nodes (constants) are not shown, but `kgplug predict` uses them. The query needs no kgplug: paste
    it into any Neo4j client. It applies the rules to the graph as it is when the query runs.

    Examples: `kgplug rules`, `kgplug rules --relation DIRECTED -k 5`, `kgplug rules --relation DIRECTED --cypher`
    """
    from kgplug import jobs

    if cypher and relation is None:
        raise UsageError("--cypher needs --relation: a query predicts relationships of one type.")
    found = jobs.rules(resolve_here(open_runs(), [run])[0], relation, k=k)
    if not cypher:
        print_frame(found.to_dataframe(), as_json=as_json, title=f"Rules of run {found.run}")
    elif as_json:
        print_json({"relation": relation, "cypher": found.to_cypher()})
    else:
        typer.echo(found.to_cypher())


def use_schema(graph: Graph, schema_file: Path | None, model: str | None, *, vectors: bool = False) -> None:
    """Set the schema with which a command reads what a model has published.

    This is the schema of kgplug.toml. But if `model` was published with other users, items or feedback, it is the
    schema with which the model was trained.

    Args:
        graph: the graph; its schema is set.
        schema_file: a schema file to use in any case; None if the user named none.
        model: name of the published model. If the user named none (None), the schema is that of kgplug.toml or, without
            this file, a guess.
        vectors: whether the command reads vectors instead of lists. Then only the items matter: the schema of
            kgplug.toml is used if the model has vectors of its items, even if users or feedback differ.
    """
    from kgplug.serving import explain

    if schema_file is None and model is not None:
        run = explain.published(graph, model)
        if explain.schema_of(run) is not None:
            if DEFAULT_FILE.exists():
                graph.use(GraphSchema.load(DEFAULT_FILE))
            suited = explain.with_vectors if vectors else explain.as_published
            graph.use(suited(graph, run).schema)
            return
    graph.use(load_schema(graph, schema_file))


def _use_catalogue(graph: Graph, schema_file: Path | None, part: Part, text: str, *, label: str | None = None) -> bool:
    """Set the schema of the published catalogue that has a user or an item; return whether this was done.

    It is done if a label is given, or if no file has a schema; and if a published model has stored its schema.

    Args:
        graph: the graph; its schema is set.
        schema_file: a schema file that the user named; None if there is none.
        part: whether `text` is the key of a user or of an item.
        text: the key as typed.
        label: label of the user; None for any label.
    """
    from kgplug.data.values.key_text import possible_keys
    from kgplug.graph.answering.published_catalogues import catalogue_of

    if label is None and (schema_file is not None or DEFAULT_FILE.exists()):
        return False
    ask = _which if sys.stdin.isatty() and sys.stderr.isatty() else None
    found = catalogue_of(graph.connection, part, possible_keys(text), label=label, ask=ask)
    if found is not None:
        graph.use(found)
    return found is not None


def _which(catalogues: list[PublishedCatalogue]) -> PublishedCatalogue:
    """Ask on the terminal which of several catalogues is meant."""
    by_number = {str(number): one for number, one in enumerate(catalogues, start=1)}
    for number, one in by_number.items():
        typer.echo(f"{number}  {one}", err=True)

    def numbered(text: str) -> PublishedCatalogue:
        if text.strip() not in by_number:
            raise typer.BadParameter(f"expected a number from 1 to {len(by_number)}, found {text!r}.")
        return by_number[text.strip()]

    return typer.prompt("Which one? Number", value_proc=numbered, err=True)


def _embedding(store: Runs, run: str | None, graph: Graph, schema_file: Path | None) -> Path:
    """Return the folder of a run; without `run`, the folder of the newest embedding trained on this graph."""
    if run is not None:
        return resolve_here(store, [run], graph, schema_file)[0]
    here = this_graph(graph, schema_file)
    found = [info.path for info in store.of(here)[0] if info.gives_links]
    if not found:
        raise UsageError(f"No embedding is trained on this graph yet, {here}. `kgplug train TransE` makes one.")
    return found[-1]


def _announce(question: Question) -> None:
    n = question.n_scores
    if n >= _MANY_SCORES:
        counts = f"{counted(len(question.heads), 'head')} × {counted(len(question.tails), 'tail')}"
        note(f"Scoring {n:,} pairs ({counts}); to score fewer, use --head-type, --tail-type, --head or --tail.")
