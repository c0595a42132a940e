"""What the command line answers without a database: help, names, settings, exit codes."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from kgplug import __version__, create
from kgplug.cli import app
from kgplug.cli.console import SplitBy, SplitOrder, parse_settings, parse_split
from kgplug.data.artefact import write_artefact
from kgplug.data.kinds import Kind
from kgplug.errors import UsageError
from kgplug.training.runs import Runs
from tests import warm_python
from tests.unit.helpers.printed import printed
from tests.unit.helpers.strictly import strictly


def process(*arguments: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does, with runs and files in a folder of the test's own."""
    return subprocess.run(
        [sys.executable, "-c", warm_python.COMMAND, *arguments],
        env=_user(home, environment),
        cwd=home,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def warm_process(*arguments: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Do the same in a process that has its packages already: for commands that need torch."""
    return warm_python.run(*arguments, env=_user(home, environment), cwd=home)


def _user(home: Path, environment: dict[str, str]) -> dict[str, str]:
    return {**os.environ, "KGPLUG_HOME": str(home), "COLUMNS": "200", **environment}


def kgplug(*arguments: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in this process, which saves the imports; otherwise as `process`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        for name, value in {"KGPLUG_HOME": str(home), **environment}.items():
            patch.setenv(name, value)
        shown = printed(*arguments)
    return subprocess.CompletedProcess(arguments, shown.code, shown.out, shown.err)


def assert_one_sentence(result: subprocess.CompletedProcess[str], *, exit_code: int) -> None:
    assert result.returncode == exit_code, result.stderr
    assert "Traceback" not in result.stderr
    assert result.stderr.startswith("Error: ")
    assert result.stdout == ""


def commands() -> list[tuple[str, ...]]:
    found = []

    def walk(command: object, path: tuple[str, ...]) -> None:
        for name, sub in getattr(command, "commands", {}).items():
            walk(sub, (*path, name))
        if path and not hasattr(command, "commands"):
            found.append(path)

    walk(typer.main.get_command(app), ())
    return found


def test_the_commands_that_the_documentation_names_exist() -> None:
    root = Path(__file__).parents[3]
    pages = [root / "README.md", *(root / "docs").rglob("*.md")]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    named = set(re.findall(r"`kgplug ([a-z][\w-]*)", text))
    assert len(named) > 15 and named <= {path[0] for path in commands()}


@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_every_command_has_help_with_an_example(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert f"kgplug {' '.join(path)}" in result.stdout.split("Example")[1]


def test_help_imports_no_heavy_package(tmp_path: Path) -> None:
    code = (
        "import sys; from kgplug.cli import app; "
        "print({'torch', 'pykeen', 'dgl', 'neo4j', 'pandas', 'implicit', 'optuna', 'matplotlib'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert result.stdout.strip() == "set()"


def test_an_unknown_model_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    result = process("train", "KGCNN", home=tmp_path)
    assert_one_sentence(result, exit_code=2)
    assert 'Did you mean "KGCN"?' in result.stderr


@pytest.mark.slow
def test_an_unknown_setting_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    result = warm_process("train", "MKR", "--set", "embeding_dim=8", home=tmp_path)
    assert_one_sentence(result, exit_code=2)
    assert 'Did you mean "embedding_dim"?' in result.stderr


@pytest.mark.slow
def test_a_setting_out_of_range_is_refused(tmp_path: Path) -> None:
    result = warm_process("train", "MKR", "--set", "embedding_dim=0", home=tmp_path)
    assert_one_sentence(result, exit_code=2)
    assert "embedding_dim" in result.stderr


@pytest.mark.slow
def test_an_invalid_split_is_refused_before_the_database_is_asked(tmp_path: Path) -> None:
    assert_one_sentence(warm_process("train", "MKR", "--split", "0.8,0.2", home=tmp_path), exit_code=2)


@pytest.mark.parametrize("split", ["0.8,0.2", "a,b,c", "0.5,0.5,0.5"])
def test_a_split_is_three_fractions_that_sum_to_one(split: str) -> None:
    with pytest.raises(UsageError, match=r"split|fractions"):
        parse_split(Kind.RECOMMENDER, split, seed=0, by=SplitBy.user, order=SplitOrder.random)


def test_an_unknown_query_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    result = kgplug("cypher", "recomend", home=tmp_path)
    assert_one_sentence(result, exit_code=2)
    assert 'Did you mean "recommend"?' in result.stderr


def test_a_run_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    assert_one_sentence(kgplug("publish", "MKR", home=tmp_path), exit_code=2)


@pytest.mark.training
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("tune", "TransE", "--split", "0.9,0.05"), "three fractions"),
        (("tune", "TransE", "--plot", "x.doc"), "ends in .png"),
        (("tune", "InductiveNodePiece"), "does not fit here: it is for graphs whose entities change"),
        (("compare", "TransE", "MKR"), "no metric in common"),
        (("train", "Popularity", "-s", "epochs=3"), 'setting of Popularity "epochs". There are none.'),
        (("plot", "TransE", "--to", "x.png"), "none in"),
        (("plot", "TransE", "--to", "absent/x.png"), "folder absent does not exist"),
    ],
)
def test_invalid_choices_are_refused_before_the_database_is_asked(
    arguments: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    result = CliRunner().invoke(app, arguments, env={"KGPLUG_HOME": str(tmp_path), "NEO4J_URI": "bolt://127.0.0.1:1"})
    assert isinstance(result.exception, UsageError)
    assert said in str(result.exception)


def test_an_existing_schema_file_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "kgplug.toml").write_text("# mine")
    result = kgplug("init", home=tmp_path)
    assert_one_sentence(result, exit_code=2)
    assert (tmp_path / "kgplug.toml").read_text() == "# mine"


@pytest.mark.training
def test_an_old_name_in_the_schema_file_is_reported_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "kgplug.toml").write_text("[feedback]\nlike = 4")
    result = warm_process("cypher", "recommend", home=tmp_path, NEO4J_URI="bolt://127.0.0.1:1")
    assert result.returncode == 0
    said = "kgplug.toml: like under [feedback] is now called like_threshold. Rename it."
    assert result.stderr.splitlines().count(said) == 1
    assert "Warning" not in result.stderr


def test_a_server_that_is_down_is_named_without_the_password(tmp_path: Path) -> None:
    environment = {"NEO4J_URI": "bolt://127.0.0.1:1", "NEO4J_PASSWORD": "s3cret-word"}
    result = kgplug("check", home=tmp_path, **environment)
    assert_one_sentence(result, exit_code=1)
    assert "bolt://127.0.0.1:1" in result.stderr
    assert "s3cret-word" not in result.stderr + result.stdout


def test_the_runs_command_says_if_there_are_none(tmp_path: Path) -> None:
    result = kgplug("runs", home=tmp_path)
    assert result.returncode == 0
    assert "No runs yet" in result.stdout


def test_cypher_lists_the_shipped_queries_with_their_purpose(tmp_path: Path) -> None:
    result = kgplug("cypher", "--json", home=tmp_path)
    assert result.returncode == 0
    assert all(f'"{name}"' in result.stdout for name in ("recommend", "similar", "explain", "health", "schema"))


@pytest.mark.parametrize(
    ("advice", "said"),
    [
        (None, "Interrupted."),
        ("Run the same command again.", "Interrupted. Run the same command again."),
    ],
)
def test_ctrl_c_says_that_the_command_can_be_resumed_only_if_it_can(advice: str | None, said: str) -> None:
    program = f"""
import os, signal, sys, time
from kgplug import cli
from kgplug.errors import when_interrupted

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored by what runs in the background

@cli.app.command()
def wait() -> None:
    with when_interrupted(lambda: {advice!r}):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)

sys.argv = ["kgplug", "wait"]
cli.main()
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 130
    assert ended.stderr.strip() == said
    assert ended.stdout == ""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "Not enough memory (no details). Free some and try again."),
        (PermissionError(13, "Permission denied", "x.csv"), "x.csv could not be used: Permission denied."),
        (OSError(28, "No space left on device", "x.csv"), "x.csv could not be written: No space left on device."),
    ],
)
def test_errors_of_any_command_give_no_advice_that_fits_only_some(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("kgplug.models.available", fail)
    refused = printed("models")
    assert (refused.code, refused.err) == (1, f"Error: {said}\n")


def test_runs_as_json_hold_their_metrics_as_an_object(tmp_path: Path) -> None:
    runs = Runs(tmp_path / "runs")
    facts = {"model": "MKR", "kind": "recommender", "metrics": {"AUC": 0.9, "NDCG@10": math.nan}, "seconds": math.inf}
    write_artefact(runs.path("mkr-20260101-000000-ab12"), {"x": np.zeros(1)}, facts)
    result = kgplug("runs", "--json", home=tmp_path)
    (run,) = strictly(result.stdout)
    assert (run["run"], run["metrics"], run["seconds"]) == (
        "mkr-20260101-000000-ab12",
        {"AUC": 0.9, "NDCG@10": None},
        None,
    )
    assert "NDCG" not in kgplug("runs", home=tmp_path).stdout


def test_a_shipped_query_is_json_if_json_is_requested(tmp_path: Path) -> None:
    shown = strictly(kgplug("cypher", "recommend", "--json", home=tmp_path).stdout)
    assert shown["query"] == "recommend"
    assert shown["cypher"].strip() == kgplug("cypher", "recommend", home=tmp_path).stdout.strip()
    with_values = kgplug("cypher", "recommend", "-p", "user=42", home=tmp_path)
    assert with_values.stdout.strip() == shown["cypher"].strip() and "add --run" in with_values.stderr


@pytest.mark.slow
def test_a_setting_that_is_not_finite_is_refused_in_one_sentence(tmp_path: Path) -> None:
    result = warm_process("train", "MKR", "-s", "learning_rate=NaN", home=tmp_path)
    assert_one_sentence(result, exit_code=2)
    assert "learning_rate" in result.stderr


@pytest.mark.training
@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_setting_that_is_not_finite_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match="learning_rate"):
        create("MKR", **parse_settings([f"learning_rate={value}"]))


def test_the_version_is_printed(tmp_path: Path) -> None:
    assert process("--version", home=tmp_path).stdout == f"kgplug {__version__}\n"


@pytest.mark.parametrize("path", [("recommend",), ("similar",), ("predict",), ("publish",), ("diff",), ("evaluate",)])
def test_the_length_of_a_list_has_one_option_everywhere(path: tuple[str, ...]) -> None:
    command = typer.main.get_command(app).commands[path[0]]  # type: ignore[attr-defined]
    (length,) = [one for one in command.params if one.name == "k"]
    assert set(length.opts) == {"--k", "-k", "--top"}
