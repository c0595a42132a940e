"""The command line: parse, call, print. `main` turns every expected error into a short message."""

from __future__ import annotations

import errno
import os
import sys
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from kgplug import __version__, progress
from kgplug.cli import choosing, completion, database, demo, linking, papers, publishing, serving
from kgplug.cli import training as models
from kgplug.cli.console import has_wide_terminal, log_as_json, print_help_in_whole_lines, report_renamed
from kgplug.cli.keys import with_negative_key
from kgplug.errors import KgplugError, is_out_of_memory
from kgplug.plain_text import make_outputs_safe, printable

INTERRUPTED = 130  # exit code that shells use for a command that was ended by Ctrl-C


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"kgplug {__version__}")
        raise typer.Exit


def _be_quiet(asked: bool) -> None:
    if asked:
        progress.report_as("quiet")


def _log_json(asked: bool) -> None:
    if asked:
        log_as_json()


app = typer.Typer(
    name="kgplug",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Knowledge-graph embeddings and recommendations, trained on your Neo4j graph and written back into it.

    Typical order: `kgplug init`, `kgplug check`, `kgplug train MKR`, `kgplug evaluate`, `kgplug publish MKR`,
    `kgplug recommend 42`. `kgplug demo` shows these steps on MovieLens-100K.

    Set NEO4J_URI, NEO4J_USERNAME, NEO4J_PASSWORD and NEO4J_DATABASE to use your own server. Without NEO4J_URI a local
    Neo4j is started. NEO4J_CA_FILE is a PEM file with the authorities to trust for bolt+s:// and neo4j+s://.""",
)
demo.add_to(app)
database.add_to(app)
models.add_to(app)
choosing.add_to(app)
papers.add_to(app)
linking.add_to(app)
publishing.add_to(app)
serving.add_to(app)


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", callback=_be_quiet, expose_value=False, help="Do not report progress.")
    ] = False,
    log_json: Annotated[
        bool,
        typer.Option(
            "--log-json", callback=_log_json, expose_value=False, help="Report progress as one JSON object per line."
        ),
    ] = False,
) -> None: ...


def command_line() -> Any:
    """Return the root command. --quiet and --log-json are also accepted after the name of any subcommand."""
    command = typer.main.get_command(app)
    everywhere = [option for option in command.params if option.name in ("quiet", "log_json")]

    def extend(command: Any) -> None:
        for sub in getattr(command, "commands", {}).values():
            sub.params = [*sub.params, *everywhere]
            extend(sub)

    extend(command)
    return command


def main() -> None:
    """Run the command line; exit code 0: success, 1: failure, 2: wrong usage, 130: interrupted by Ctrl-C."""
    make_outputs_safe()
    report_renamed()
    try:
        if script := completion.answer(sys.argv[1:]):
            typer.echo(script)
            return
        progress.report_as("lines")
        command = command_line()
        if not has_wide_terminal():
            print_help_in_whole_lines(command)
        command(with_negative_key(sys.argv[1:]))
    except KgplugError as error:
        _fail(str(error), error.exit_code)
    except (KeyboardInterrupt, SystemExit) as ended:  # typer turns Ctrl-C into SystemExit
        if isinstance(ended, SystemExit) and ended.code != INTERRUPTED:
            raise
        _fail(" ".join(["Interrupted.", *_advice(ended)]), INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        _fail(f"Not enough memory ({str(error).partition(chr(10))[0] or 'no details'}). Free some and try again.", 1)
    except ValidationError as error:  # an environment variable has a bad value
        if error.title != "Settings":
            raise
        first = error.errors()[0]
        name, found = str(first["loc"][0]).upper(), first["input"]
        _fail(f"{name}={found}: {first['msg']}. Correct or unset this environment variable.", 2)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EFBIG):
            _fail(f"{error.filename or 'A file'} could not be written: {error.strerror}.", 1)
        if error.filename is None:
            raise
        _fail(f"{error.filename} could not be used: {error.strerror}.", 1)


def _advice(ended: BaseException) -> list[str]:
    """Return the advice, such as how to continue, that the exception which ended a command has; [] if it has none."""
    error: BaseException | None = ended
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return getattr(error, "__notes__", [])[:1]


def _fail(sentence: str, exit_code: int) -> None:
    if progress.style() == "json":
        progress.message(printable(sentence), event="error")
        sys.exit(exit_code)
    typer.echo(f"Error: {printable(sentence)}" if exit_code != INTERRUPTED else f"\n{sentence}", err=True)
    sys.exit(exit_code)
