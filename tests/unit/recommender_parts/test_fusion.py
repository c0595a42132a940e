"""The fusion of two ranked lists: every prefix is the list that the paper makes for its length."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgplug.errors import UsageError
from kgplug.recommenders.parts.fusion import fuse
from tests.unit.helpers.literal_fusion import literal_fusion


def padded(lists: list[list[int]]) -> np.ndarray:
    table = np.full((len(lists), max(map(len, lists), default=0)), -1)
    for row, items in enumerate(lists):
        table[row, : len(items)] = items
    return table


ranked = st.lists(st.integers(0, 12), unique=True, max_size=10)


@given(st.lists(st.tuples(ranked, ranked), min_size=1, max_size=4), st.integers(0, 10))
def test_the_first_n_of_the_fused_list_are_the_fusion_for_n_places(pairs, tenths):
    share = tenths / 10
    fused = fuse(padded([cf for cf, _ in pairs]), padded([kg for _, kg in pairs]), share=share)
    for row, (cf, kg) in enumerate(pairs):
        for n in range(1, len(cf) + len(kg) + 1):
            found = [item for item in fused[row, :n].tolist() if item >= 0]
            assert len(found) == len(set(found))
            assert set(found) == set(literal_fusion(cf, kg, n, share))


def test_high_places_of_the_second_list_replace_low_places_of_the_first():
    cf, kg = np.array([[1, 2, 3, 4, 5, 6]]), np.array([[7, 1, 8, 9, 10, 11]])
    assert set(fuse(cf, kg, share=0.5, length=4)[0]) == {1, 2, 7, 8}  # 1 is skipped in the second list
    assert fuse(cf, kg, share=1, length=4).tolist() == [[1, 2, 3, 4]]
    assert fuse(cf, kg, share=0, length=4).tolist() == [[7, 1, 8, 9]]


def test_a_short_list_is_filled_up_from_the_other():
    none = np.empty((1, 0), dtype=np.int64)
    assert fuse(none, np.array([[3, 2, 1]]), share=0.9).tolist() == [[3, 2, 1]]
    assert fuse(np.array([[3, 2, 1]]), none, share=0.1).tolist() == [[3, 2, 1]]
    assert sorted(fuse(np.array([[1, 2, 3]]), np.array([[3, -1, -1]]), share=0.3)[0].tolist()) == [-1, -1, -1, 1, 2, 3]
    assert fuse(none, none, share=0.5, length=2).tolist() == [[-1, -1]]


def test_shares_are_not_cut_by_the_rounding_of_floats():
    cf, kg = np.arange(100)[None], np.arange(100, 200)[None]
    assert (fuse(cf, kg, share=0.29, length=100) < 100).sum() == 29


def test_a_share_outside_of_its_range_is_one_sentence():
    with pytest.raises(UsageError, match=r"share: expected a number from 0 to 1, found 1.5"):
        fuse(np.array([[1]]), np.array([[2]]), share=1.5)


def test_one_row_does_not_see_another():
    cf, kg = np.array([[1, 2], [1, 2], [2, 1]]), np.array([[2, 3], [2, 3], [-1, -1]])
    whole = fuse(cf, kg, share=0.5)
    assert whole.tolist() == [fuse(cf[[row]], kg[[row]], share=0.5)[0].tolist() for row in range(3)]
