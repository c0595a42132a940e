"""Titles: any value of a property becomes text, and the schema guesses the property that most nodes have."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kgplug import jobs, models
from kgplug.data.values.texts import as_text, as_texts
from kgplug.errors import RunError
from kgplug.graph.guessing.keys import guess_title
from kgplug.graph.schema import GraphSchema, ItemSchema
from kgplug.training.runs import Runs
from tests.unit.helpers.planted import directors_and_fans

QUICK: dict[str, dict] = {
    "DKN": {"embedding": "TransE", "embedding_settings": {"embedding_dim": 4, "epochs": 1}, "filters": 2, "epochs": 1},
    "MF": {"embedding_dim": 4, "epochs": 1},
}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Toy Story", "Toy Story"),
        ("  Heat \n", "Heat"),
        ("", ""),
        (None, ""),
        (float("nan"), ""),
        (pd.NA, ""),
        (pd.NaT, ""),
        (1984, "1984"),
        (1984.0, "1984"),
        (np.float32(2.5), "2.5"),
        (float("inf"), "inf"),
        (["Léon", None, "The Professional"], "Léon The Professional"),
        (np.array(["a", "b"]), "a b"),
        ([[1, 2], []], "1 2"),
        (dt.date(2001, 2, 3), "2001-02-03"),
        (b"\x00\x01", ""),
        ("卧虎藏龙", "卧虎藏龙"),
    ],
)
def test_every_value_of_a_property_becomes_text(value: object, text: str) -> None:
    assert as_text(value) == text


def test_texts_keep_their_order() -> None:
    assert as_texts(["b", None, 3]).tolist() == ["b", "", "3"] and as_texts([]).shape == (0,)


def guess(*nodes: dict[str, object], key: str = "id") -> tuple[str | None, str]:
    names = dict.fromkeys(name for node in nodes for name in node)
    found = guess_title({name: [node[name] for node in nodes if name in node] for name in names}, len(nodes), key)
    return found.value, found.why


def test_the_title_is_the_text_that_most_nodes_have_and_whose_name_fits() -> None:
    assert guess({"title": "a", "name": "b"}, {"title": "c", "name": "d"}) == (
        "title",
        "text on 2 of 2 sampled nodes, and its name fits a title. Lists show it, and DKN reads it",
    )
    assert guess({"title": "a", "name": "b"}, {"title": " ", "name": "d"}, {"name": "e"})[0] == "name"
    assert guess({"title": 7, "originalTitle": "a"}, {"title": 8, "originalTitle": "b"})[0] == "originalTitle"


def test_the_key_is_the_title_if_there_is_no_other_and_a_rare_title_is_ignored() -> None:
    assert guess({"name": "a", "plot": "x"}, {"name": "b", "plot": "y"}, key="name")[0] == "name"
    value, why = guess({"title": "a"}, {"plot": "x"}, {"plot": "y"})
    assert value is None and "title is text on only 1 of 3 nodes. Lists show the key" in why
    assert guess()[0] is None


@pytest.mark.training
def test_a_run_is_found_again_by_its_titles_only_where_the_model_reads_them(tmp_path: Path) -> None:
    interactions, knowledge, _, _ = directors_and_fans()
    schema, runs = GraphSchema(item=ItemSchema(title="title")), Runs(tmp_path / "runs")
    titles = [dict.fromkeys(range(interactions.n_items), text) for text in ("a film", "a book")]
    data = [jobs.GraphData(schema, interactions.with_texts(texts), knowledge) for texts in titles]
    assert interactions.texts_fingerprint is None
    assert len({each.interactions.fingerprint for each in data if each.interactions}) == 1
    for name, n_runs in (("MF", 1), ("DKN", 2)):
        options: dict[str, Any] = {"settings": QUICK[name], "reuse": True, "progress": False}
        folders = [jobs.train(name, each, runs, **options) for each in (*data, *data)]
        assert len(set(folders)) == n_runs and folders[:2] == folders[2:]
        assert models.load(folders[0]).name == name


@pytest.mark.training
def test_a_checkpoint_of_other_titles_is_refused_only_where_the_model_reads_them(tmp_path: Path) -> None:
    interactions, knowledge, _, _ = directors_and_fans()
    one, other = (interactions.with_texts(dict.fromkeys(range(interactions.n_items), text)) for text in "ab")
    for name, triples in (("MF", None), ("DKN", knowledge)):
        checkpoint = tmp_path / name
        models.create(name, **QUICK[name]).fit(one, triples, checkpoint=checkpoint, progress=False)  # type: ignore[arg-type]
        again = models.create(name, **QUICK[name])
        if name == "MF":
            again.fit(other, triples, checkpoint=checkpoint, progress=False)  # type: ignore[arg-type]
        else:
            with pytest.raises(RunError, match="written for other data"):
                again.fit(other, triples, checkpoint=checkpoint, progress=False)  # type: ignore[arg-type]
