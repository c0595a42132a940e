"""Old names of arguments still work, with a warning."""

from __future__ import annotations

import pytest

from kgplug.renamed import renamed


@renamed(top="k", positive="like_threshold")
def lists(*, k: int = 10, like_threshold: float = 4.0) -> tuple[int, float]:
    return k, like_threshold


def test_an_old_name_works_and_warns_where_it_is_used() -> None:
    with pytest.warns(DeprecationWarning, match="lists: top is now called k") as caught:
        assert lists(top=3) == (3, 4.0)  # type: ignore[call-arg]
    assert caught[0].filename == __file__


def test_a_new_name_does_not_warn(recwarn: pytest.WarningsRecorder) -> None:
    assert lists(k=3, like_threshold=2.0) == (3, 2.0)
    assert not recwarn.list


def test_an_old_name_next_to_the_new_one_is_refused() -> None:
    with pytest.raises(TypeError, match="both k and top"):
        lists(k=3, top=4)  # type: ignore[call-arg]
