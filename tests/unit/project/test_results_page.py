"""The page of results: differences are paired, texts stay, a file of measurements goes on where it stopped."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest

import kgplug
from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.evaluation.experiment import evaluate_ctr
from kgplug.recommenders.base import Recommender

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "benchmarks"))
import results  # noqa: E402
from results_file import Key, ResultsFile  # noqa: E402
from results_page import (  # noqa: E402
    MARKED,
    PAGES,
    Difference,
    Tables,
    compare,
    difference_cell,
    fill,
    fill_pages,
    summarise,
)
from results_rows import MOVIES, DataSet, Row, read, rows, shuffled  # noqa: E402

pytestmark = pytest.mark.training

LINE = {
    "figures": {"AUC": 0.5}, "settings": {"a": [1]}, "data": "d", "epochs": 3, "fit_s": 1.0,
    "machine": "m", "threads": 1, "load": 1.0, "when": "2026-01-01 00:00:00",
}  # fmt: skip


def _key(model: str, seed: int = 0, variant: str = "", part: str = "ctr") -> Key:
    return Key("movielens-100k", part, "honest", model, variant, seed)


def _file(folder: Path, values: dict[tuple[str, str], list[float]]) -> ResultsFile:
    file = ResultsFile(folder / "lines.jsonl")
    for (model, variant), aucs in values.items():
        for seed, value in enumerate(aucs):
            file.add(_key(model, seed, variant), LINE | {"figures": {"AUC": value}})
    return file


def test_a_summary_has_the_sample_standard_deviation_and_the_worst() -> None:
    found = summarise([0.1, 0.3, 0.5])
    assert (found.mean, found.sd, found.least, found.n) == pytest.approx((0.3, 0.2, 0.1, 3))
    assert summarise([0.4]).sd == 0


def test_models_are_compared_on_the_seeds_that_both_have() -> None:
    found = compare({0: 0.5, 1: 0.6, 2: 0.9, 7: 0.0}, {2: 0.6, 0: 0.4, 1: 0.6, 9: 1.0})
    assert found is not None and (found.wins, found.n) == (2, 3)  # a tie is no win
    assert found.mean == pytest.approx(0.4 / 3) and found.sd == pytest.approx(np.std([0.1, 0, 0.3], ddof=1))
    assert compare({0: 0.5}, {1: 0.5}) is None
    assert difference_cell(Difference(-0.0123, 0.00456, 1, 5)) == "−.0123 ± .0046, 1/5"


def test_only_the_text_between_marks_is_written() -> None:
    page = "a\n<!-- table: x -->\nold\n<!-- end -->\nb\n<!-- table: y -->\nkept\n<!-- end -->\nc"
    filled = fill(page, {"x": "| new \\1 |\n"})
    assert filled == page.replace("old", "| new \\1 |")
    assert fill(filled, {"x": "old"}) == page
    for wrong in (page, page + page):
        with pytest.raises(ValueError, match="wrong: z" if wrong is page else "wrong: x"):
            fill(wrong, {"z" if wrong is page else "x": ""})


def test_the_page_has_a_slot_for_every_table(tmp_path: Path) -> None:
    pages = {path: path.read_text(encoding="utf-8") for path in PAGES}
    made = Tables(ResultsFile(tmp_path / "none.jsonl")).all()
    assert {name for page in pages.values() for _, name, _ in MARKED.findall(page)} - set(made) == {
        "ckcf", "ckcf, provenance", "ckcf, cold books", "ckcf, ratio",
    }  # fmt: skip
    for page in fill_pages(pages, dict.fromkeys(made, "new")).values():
        for start, name, _ in MARKED.findall(page):
            assert name not in made or f"{start}new\n<!-- end -->" in page
    with pytest.raises(ValueError, match="wrong: leak"):
        fill_pages({path: page.replace("<!-- table: leak -->", "") for path, page in pages.items()}, made)
    with pytest.raises(ValueError, match="wrong: leak"):
        fill_pages({path: page + "\n<!-- table: leak -->\n<!-- end -->" for path, page in pages.items()}, made)


def test_a_model_is_compared_with_baselines_and_with_itself_without_its_graph(tmp_path: Path) -> None:
    file = _file(tmp_path, {("MF", ""): [0.5, 0.6], ("KGCN", ""): [0.6, 0.5], ("KGCN", "without KG"): [0.5, 0.4]})
    tables = Tables(file).all()
    (line,) = [row for row in tables["clicks movielens-100k, differences"].splitlines() if "KGCN" in row]
    assert line == "| KGCN | +.0000 ± .1414, 1/2 | – | +.1000 ± .0000, 2/2 |"
    lines = tables["clicks movielens-100k"].splitlines()
    assert [row.split(" | ")[:2] for row in lines[2:]] == [
        ["| MF", "**.5500 ± .0707**"], ["| KGCN", "**.5500 ± .0707**"], ["| – without KG", ".4500 ± .0707"],
    ]  # fmt: skip


def test_a_file_cut_within_a_line_keeps_the_other_lines_and_continues(tmp_path: Path) -> None:
    file = _file(tmp_path, {("MF", ""): [0.5, 0.6]})
    file.path.write_text(file.path.read_text()[:-20])
    again = ResultsFile(file.path)
    assert list(again.lines) == [_key("MF", 0)]
    again.add(_key("MF", 1), LINE)
    assert set(ResultsFile(file.path).lines) == {_key("MF", 0), _key("MF", 1)}


def test_a_measurement_is_reused_for_its_settings_and_data_until_a_new_one_is_requested(tmp_path: Path) -> None:
    file = _file(tmp_path, {("MF", ""): [0.5], ("BPR", ""): [0.5]})
    assert file.has(_key("MF"), settings={"a": [1]}, data="d")
    assert not file.has(_key("MF"), settings={"a": [2]}, data="d")
    assert not file.has(_key("MF"), settings={"a": [1]}, data="other")
    came = {"a": [1], "b": 2}
    assert not file.has(_key("MF"), settings=came, data="d")
    assert file.has(_key("MF"), settings=came, data="d", defaults={"a": [0], "b": 2})
    assert not file.has(_key("MF"), settings=came, data="d", defaults={"a": [0], "b": 3})
    file.forget("MF", datasets=["movielens-100k"], parts=["ranking"])
    assert _key("MF") in ResultsFile(file.path).lines
    file.forget("MF", datasets=["movielens-100k"], parts=["ctr"])
    assert list(file.lines) == list(ResultsFile(file.path).lines) == [_key("BPR")]


def test_every_recommender_has_a_row_and_one_without_its_graph() -> None:
    known = {info.name: info.needs != "likes" for info in kgplug.available() if info.kind == "recommender"}
    found = [(row.model, bool(row.variant)) for row in rows()]
    assert sorted(found) == sorted([*((n, False) for n in known), *((n, True) for n, takes in known.items() if takes)])
    assert [row.model for row in rows(["kgcn"])] == ["KGCN", "KGCN"]


def _data() -> DataSet:
    rng = np.random.default_rng(0)
    users, items = np.nonzero(rng.random((30, 40)) < 0.4)
    ratings = rng.integers(1, 6, len(users)).astype(float)
    likes = Interactions.from_arrays(np.arange(30), np.arange(40), users, items, ratings=ratings, like_threshold=4)
    triples = np.unique(np.column_stack([np.arange(40), rng.integers(0, 2, 40), 40 + rng.integers(0, 5, 40)]), axis=0)
    graph = KnowledgeGraph.from_arrays(np.arange(45), np.full(45, ""), np.array(["r", "s"]), triples)
    return DataSet("movielens-100k", likes, graph, like_threshold=4)


def test_a_shuffled_graph_has_the_same_heads_relations_and_numbers_of_each_tail() -> None:
    graph = _data().knowledge
    other = shuffled(graph)
    assert not np.array_equal(other.triples, graph.triples)
    for columns in ([0, 1], [1, 2]):
        pairs, counts = (np.unique(g.triples[:, columns], axis=0, return_counts=True) for g in (graph, other))
        assert np.array_equal(pairs[0], counts[0]) and np.array_equal(pairs[1], counts[1])


def test_click_through_gives_the_metrics_of_evaluate_ctr() -> None:
    data, row = _data(), Row("MF", takes_graph=False)
    found = results.measure_ctr(row, data, "honest", split=3, seed=3)
    expected = evaluate_ctr("MF", data.interactions, seeds=(3,), progress=False)
    assert {name: expected[name][0] for name in found["figures"]} == pytest.approx(found["figures"])
    assert found["epochs"] == expected["epochs"][0] == len(found["history"]["validation"])
    other = results.measure_ctr(row, data, "honest", split=3, seed=4)  # another training, the same pairs
    assert other["figures"] != found["figures"] and other["figures"]["AUC"] != 0.5


def test_lines_of_earlier_versions_count_only_if_today_s_settings_are_those_they_had(tmp_path: Path) -> None:
    data, file = _data(), ResultsFile(tmp_path / "lines.json")
    plan = [(_key(name), Row(name, takes_graph=False)) for name in ("MF", "BPR")]
    for key, row in plan:
        now = results.settings_of(row, for_clicks=True)
        early = {k: v for k, v in now.items() if k not in ("goal", "negatives_per_like", "negative_popularity")}
        file.add(key, {"settings": early, "data": data.fingerprint, "figures": {}})
    measured = list[str]()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(results, "measure", lambda key, *_: measured.append(key.model) or {"figures": {}})
        results.run(file, plan, {"movielens-100k": data})
    assert measured == ["MF"]  # today with four negatives per like; BPR is trained as it was


def test_lists_come_from_a_training_on_the_whole_training_set_for_the_epochs_chosen_in_validation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fits = []
    train = Recommender.fit

    def recorded(model, rows_given, *others, valid=None, **options):
        trained = train(model, rows_given, *others, valid=valid, **options)
        fits.append((len(rows_given), 0 if valid is None else len(valid), model.history, rows_given.is_like.all()))
        return trained

    monkeypatch.setattr(Recommender, "fit", recorded)
    found = results.measure_ranking(Row("MF", takes_graph=False), _data(), seed=0)
    (fitted, validated, history, _), (whole, none, last, every_row) = fits
    assert fitted + validated == whole and validated == pytest.approx(whole / 8, abs=1) and none == 0 and every_row
    assert len(last["losses"]) == found["epochs"] == history["best_epoch"] + 1 and not last["validation"]
    assert 0 < found["figures"]["NDCG@10"] < 1
    results.measure_ranking(Row("ItemKNN", takes_graph=False), _data(), seed=0)
    assert fits[2][:2] == (whole, 0) and len(fits) == 3


def test_a_run_measures_only_what_is_missing_and_stores_refusals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = dataclasses.replace(_data(), like_threshold=None)
    data = dataclasses.replace(
        data, interactions=dataclasses.replace(data.interactions, ratings=None, like_threshold=None)
    )
    plan = list(results.planned(rows(["Popularity", "MKR-rated"]), ["movielens-100k"], ["ctr"], [0]))
    for left in (6, 0):
        assert results.run(ResultsFile(tmp_path / "f.jsonl"), plan, {"movielens-100k": data}) == []
        assert f"{left} of 6 measurements are left" in capsys.readouterr().out
    lines = [json.loads(line) for line in (tmp_path / "f.jsonl").read_text().splitlines()]
    assert [bool(line["figures"]) for line in lines if line["key"]["protocol"] == "honest"] == [True, False, False]


def test_parts_of_a_list_model_are_measured_by_lists(tmp_path: Path) -> None:
    plan = list(results.planned(rows(["MKR-attention", "CKCF-relational"]), ["movielens-100k"], ["switches"], [0]))
    assert {(key.model, key.protocol) for key, _ in plan} == {("MKR-attention", "honest"), ("CKCF-relational", "")}
    file = ResultsFile(tmp_path / "lines.jsonl")
    variant = plan[-1][0].variant
    for part, name, values in (("ranking", "", [0.2, 0.3]), ("switches", variant, [0.1, 0.3]), ("ctr", "", [0.9, 0.9])):
        for seed, value in enumerate(values):
            key = Key("movielens-100k", part, "honest" if part == "ctr" else "", "CKCF-relational", name, seed)
            file.add(key, LINE | {"figures": {"NDCG@10": value, "AUC": value}})
    tables = Tables(file).all()
    assert tables["switches of lists movielens-100k"].splitlines()[2:] == [
        "| CKCF-relational | .2500 ± .0707 |  |",
        *(f"| – {key.variant} | – | – |" for key, _ in plan[5:-1]),
        f"| – {variant} | .2000 ± .1414 | −.0500 ± .0707, 0/2 |",
    ]
    assert tables["switches movielens-100k"] == "Not measured yet."


def test_a_data_set_that_was_not_tuned_on_is_measured_only_by_honest_clicks_and_lists() -> None:
    keys = [key for key, _ in results.planned(rows(["MF", "KGCN"]), [MOVIES], list(results.PARTS), [0])]
    assert {(key.part, key.protocol) for key in keys} == {("ctr", "honest"), ("ranking", "")}
    assert len(keys) == len(set(keys)) == 6  # KGCN without its graph, too


def test_films_ratings_and_their_graph_are_read_from_two_files(tmp_path) -> None:
    (tmp_path / "movies.csv").write_text(
        "movieId,released,title,actors,director,genres,imdbRating\n"
        '1,1995,"Heat, and dust",Ann|Ben|Ann,Ben,Drama,8\n2,,Fog,,Cy,Drama|Comedy,\n3,,Rain,Ann,,,\n'
    )
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n7,1,4.0,1\n7,2,3.5,2\n8,9,5.0,3\n")
    data = read(MOVIES, tmp_path)
    assert data is not None
    feedback, graph = data.interactions, data.knowledge
    assert (feedback.item_keys.tolist(), feedback.is_like.tolist()) == (["film:1", "film:2"], [True, False])
    found = {
        (graph.entity_keys[head], graph.relations[relation], graph.entity_keys[tail])
        for head, relation, tail in graph.triples
    }
    assert found == {
        ("film:1", "ACTED_IN", "person:Ann"), ("film:1", "ACTED_IN", "person:Ben"),
        ("film:1", "DIRECTED", "person:Ben"),
        ("film:1", "IN_GENRE", "genre:Drama"), ("film:2", "DIRECTED", "person:Cy"),
        ("film:2", "IN_GENRE", "genre:Drama"), ("film:2", "IN_GENRE", "genre:Comedy"),
        ("film:3", "ACTED_IN", "person:Ann"),
    }  # fmt: skip
    assert read(MOVIES, None) is None
