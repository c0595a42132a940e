"""Differences of two sets of lists: which changed lists are shown."""

from __future__ import annotations

import numpy as np

from kgplug.data.publication import TopLists
from kgplug.data.ranking.list_difference import compare_lists


def lists(items: list[list[int]]) -> TopLists:
    users = np.array([f"u{n}" for n in range(len(items))], dtype=object)
    keys = np.array([f"i{n}" for n in range(9)], dtype=object)
    return TopLists("User", "Item", users, keys, np.array(items), np.zeros((len(items), len(items[0]))))


def test_a_list_that_is_only_reordered_is_shown_among_many_unchanged_ones() -> None:
    before = [[0, 1, 2]] * 6
    found = compare_lists(lists(before), lists([*before[:5], [1, 0, 2]]))
    assert (found.changed, found.removed, [one.user for one in found.examples]) == (1, 0, ["u5"])


def test_lists_that_lost_the_most_items_are_shown_first() -> None:
    after = [[0, 1, 2], [0, 1, 8], [6, 7, 8], [2, 1, 0], [0, 7, 8], [0, 1, 2]]
    found = compare_lists(lists([[0, 1, 2]] * 6), lists(after))
    assert [one.user for one in found.examples] == ["u2", "u4", "u1"]
