"""Which nodes of two sources are the same: spellings, candidates, probabilities, one pair per node."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kgplug.data.linking.names import nearest_names, normal_name, spellings, year_in_name
from kgplug.data.linking.propose import Source, propose
from kgplug.errors import DataError

WORDS = [
    "amber", "brook", "cedar", "dune", "ember", "fable", "grove", "harbor", "iris", "jade", "kestrel", "lagoon",
    "meadow", "nectar", "orchid", "pebble", "quartz", "river", "saffron", "thistle", "umber", "violet", "willow",
]  # fmt: skip
YEARS = [1930.0 + n for n in range(60)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The Matrix", "Matrix, The (1999)"),
        ("Amélie", "amelie"),
        ("Romeo & Juliet", "Romeo and Juliet"),
        ("Schindler's List", "Schindlers List"),
        ("M*A*S*H", "m a s h"),
        ("L'Enfer", "lenfer"),
    ],
)
def test_spellings_that_mean_the_same_have_one_normal_form(one: str, other: str) -> None:
    assert normal_name(one) == normal_name(other)


def test_other_names_in_brackets_are_spellings_too() -> None:
    assert spellings("Shanghai Triad (Yao a yao) (1995)") == ["shanghai triad", "yao a yao"]
    assert year_in_name("Shanghai Triad (Yao a yao) (1995)") == 1995
    assert math.isnan(year_in_name("1984 (a novel)"))


def test_the_most_similar_names_are_those_of_the_slow_way() -> None:
    rng = np.random.default_rng(0)
    left = [" ".join(rng.choice(WORDS, 3)) for _ in range(30)]
    right = [" ".join(rng.choice(WORDS, 3)) for _ in range(40)]
    texts = [f"  {text} " for text in (*left, *right)]
    grams = [[text[i : i + 3] for i in range(len(text) - 2)] for text in texts]
    known = sorted({gram for row in grams for gram in row})
    frequency = {gram: sum(gram in row for row in grams) for gram in known}
    table = np.array(
        [[row.count(gram) * math.log(1 + len(texts) / frequency[gram]) for gram in known] for row in grams]
    )
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    cosine = table[:30] @ table[30:].T
    a, b, value = nearest_names(left, right, 5)
    assert np.allclose(value, cosine[a, b])
    for i in range(30):
        assert np.sort(value[a == i])[::-1] == pytest.approx(np.sort(cosine[i])[::-1][:5])


def named(n: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return list(dict.fromkeys(" ".join(rng.choice(WORDS, 3, replace=False)) for _ in range(2 * n)))[:n]


def source(names: list[str], years: list[float], keys: str) -> Source:
    return Source(np.array([f"{keys}{n}" for n in range(len(names))]), np.array(names, object), np.array(years, float))


def test_planted_pairs_are_found_in_other_spellings_and_strangers_are_not_paired() -> None:
    names, years = named(200, 0), [1950.0 + n % 60 for n in range(200)]
    left = source(names, years, "l")
    spelled = [f"{name.title()}, The" if n % 3 == 0 else name.upper() for n, name in enumerate(names[:120])]
    strangers = named(400, 1)[300:]
    right = source([*spelled, *strangers], [*(year + n % 2 for n, year in enumerate(years[:120])), *years[:100]], "r")
    links = propose(left, right)
    same = links.verdicts == "same"
    right_ones = (links.left == links.right) & (links.right < 120)
    assert right_ones[same].mean() > 0.98
    assert (right_ones & same).sum() > 0.9 * 120
    assert len(np.unique(links.left)) == len(links) == len(np.unique(links.right))


def test_films_of_one_name_are_told_apart_by_their_years() -> None:
    others = named(60, 3)
    left = source(["Solaris", "Solaris", *others], [1972, 2002, *YEARS], "l")
    right = source(["Solaris", "Solaris", *others], [2002, 1972, *YEARS], "r")
    links = propose(left, right)
    pairs = dict(zip(links.left.tolist(), links.right.tolist(), strict=True))
    assert (pairs[0], pairs[1]) == (1, 0)


def test_a_node_that_fits_two_others_equally_is_doubtful() -> None:
    others = named(60, 4)
    left = source(["Dune", *others], [1984, *YEARS], "l")
    right = source(["Dune", "Dune", *others], [1984, 1984, *YEARS], "r")
    links = propose(left, right)
    verdicts = dict(zip(links.left.tolist(), links.verdicts.tolist(), strict=True))
    assert verdicts[0] == "doubtful"
    assert sum(verdict == "same" for verdict in verdicts.values()) == 60


def test_common_neighbours_decide_between_people_of_one_name() -> None:
    others = named(60, 5)
    films = [[f"film {n}", f"film {n + 1}"] for n in range(60)]
    left = Source(
        np.arange(62), np.array(["John Smith", "John Smith", *others], object), None, [["Alien"], ["Brazil"], *films]
    )
    right = Source(
        np.arange(62), np.array(["John Smith", "John Smith", *others], object), None, [["Brazil"], ["Alien"], *films]
    )
    links = propose(left, right)
    pairs = dict(zip(links.left.tolist(), links.right.tolist(), strict=True))
    assert (pairs[0], pairs[1]) == (1, 0)
    assert "most neighbours in common" in links.reasons[links.left.tolist().index(0)]


def test_vectors_of_one_space_count_too() -> None:
    rng = np.random.default_rng(0)
    names, vectors = [*named(50, 6), "Iris", "Iris"], rng.normal(size=(52, 8))
    order = np.r_[np.arange(50), 51, 50]
    left = Source(np.arange(52), np.array(names, object), None, None, vectors)
    links = propose(left, Source(np.arange(52), np.array(names, object), None, None, vectors[order]))
    pairs = dict(zip(links.left.tolist(), links.right.tolist(), strict=True))
    assert (pairs[50], pairs[51]) == (51, 50)


def test_sources_without_names_are_refused_and_without_similar_names_give_nothing() -> None:
    with pytest.raises(DataError, match="No node of the right source has a name"):
        propose(source(["a b"], [1.0], "l"), source(["", " "], [1.0, 2.0], "r"))
    assert len(propose(source(["aaaa"], [1.0], "l"), source(["zzzz"], [1.0], "r"))) == 0
