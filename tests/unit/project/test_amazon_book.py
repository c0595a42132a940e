"""The benchmark on Amazon-book: it reads both kinds of file, and its recall is that of KGAT's code."""

from __future__ import annotations

import lzma
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.unit.helpers.planted import popular

pytestmark = pytest.mark.training

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "benchmarks"))
import amazon_book  # noqa: E402


def test_users_and_items_of_both_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("0 3 1\n1 0\n2\n")
    with lzma.open(tmp_path / "test.txt.xz", "wt") as file:
        file.write("0 4\n3 1 0\n")
    train, test = amazon_book.read(tmp_path)
    assert [*zip(train.users, train.items, strict=True)] == [(0, 1), (0, 3), (1, 0)]
    assert [*zip(test.users, test.items, strict=True)] == [(0, 4), (3, 0), (3, 1)]
    assert train.n_users == test.n_users == 4 and train.n_items == test.n_items == 5


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"No train\.txt or train\.txt\.xz in .*Name it with --data FOLDER"):
        amazon_book.read(tmp_path)


def test_recall_is_hits_over_all_test_items_of_a_user_and_the_test_set_chooses_nothing(monkeypatch) -> None:
    train, test = popular(0).split((0.7, 0.3), seed=0, by="row")
    asked: list[int] = []
    hits_of = amazon_book.hits_of
    monkeypatch.setattr(amazon_book, "hits_of", lambda model, rows: asked.append(rows is test) or hits_of(model, rows))
    monkeypatch.setattr(amazon_book, "NEAREST", {"similarity": ("cosine",), "neighbours": (5, 50)})
    row = amazon_book.measure("ItemKNN", train, test, 0, defaults=False)
    assert asked == [False, False, True]  # two choices on validation rows, then the test set once
    model = amazon_book._trained("ItemKNN", train, 0, row["settings"])
    recalls = []
    for user in np.unique(test.users):
        wanted = set(test.items[test.users == user])
        listed = set(model.recommend(np.array([user]), 20)[0][0])
        assert not listed & set(train.items[train.users == user])
        recalls.append(len(wanted & listed) / len(wanted))
    assert row["recall@20"] == pytest.approx(np.mean(recalls))
