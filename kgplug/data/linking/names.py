"""Names that are spelled differently in two sources: one normal form, and how similar two names are."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import sparse

_YEAR = re.compile(r"\((\d{4})\)\s*$")
_BRACKETS = re.compile(r"\(([^()]*)\)")
_ARTICLES = "the|a|an|le|la|les|l'|un|une|das|der|die|il|lo|el|los|las|o|os|as"
_ARTICLE_LAST = re.compile(rf"^(.*), ({_ARTICLES})$")
_WORD = re.compile(r"[^\W_]+")
_GRAM = 3  # characters in a part of a name
_BLOCK = 1_000  # names compared at a time


def normal_name(name: str) -> str:
    """Return a name without case, accents, punctuation and a final year: "Matrix, The (1999)" becomes "the matrix"."""
    return _plain(_YEAR.sub("", name))


def spellings(name: str) -> list[str]:
    """Return the normal forms under which a name may be known: the name, and other names in brackets after it.

    "Shanghai Triad (Yao a yao) (1995)" gives "shanghai triad" and "yao a yao".
    """
    bare = _YEAR.sub("", name)
    found = [_plain(_BRACKETS.sub(" ", bare)), *(_plain(inner) for inner in _BRACKETS.findall(bare))]
    return [each for each in dict.fromkeys(found) if each] or [_plain(bare)]


def year_in_name(name: str) -> float:
    """Return the year in brackets at the end of a name; NaN if there is none."""
    found = _YEAR.search(name)
    return float(found[1]) if found else float("nan")


def nearest_names(left: Sequence[str], right: Sequence[str], k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for each name on the left the k most similar names on the right.

    The similarity is the cosine of the names' character trigrams, weighted by how rare each is (TF-IDF). A name with
    several spellings is as similar as its most similar spelling.

    Returns:
        (left, right, similarity): int64 (n,), int64 (n,), float64 (n,): the pairs with a similarity above 0, in
        ascending order of both indices.
    """
    (a, of_a), (b, of_b) = _all_spellings(left), _all_spellings(right)
    grams_a, grams_b = _trigrams([*a, *b], len(a))
    empty = np.empty(0, dtype=np.int64)
    lefts, rights, values = [empty], [empty], [np.empty(0)]
    turned = grams_b.T.tocsr()
    for start in range(0, len(a), _BLOCK):
        product = (grams_a[start : start + _BLOCK] @ turned).tocoo()
        place, found = product.row + start, product.data
        order = np.lexsort((-found, place))
        first = np.searchsorted(place[order], place[order])  # position of the first entry of each row
        kept = order[np.arange(len(order)) - first < k * 2]  # spellings of one name may take several places
        lefts.append(of_a[place[kept]])
        rights.append(of_b[product.col[kept]])
        values.append(found[kept])
    columns = {"left": np.concatenate(lefts), "right": np.concatenate(rights), "value": np.concatenate(values)}
    best = pd.DataFrame(columns).groupby(["left", "right"], as_index=False)["value"].max()
    a, b, value = (best[name].to_numpy() for name in ("left", "right", "value"))
    order = np.lexsort((b, -value, a))
    first = np.searchsorted(a[order], a[order])  # position of the first pair of each name on the left
    kept = np.sort(order[np.arange(len(order)) - first < k])  # pairs are sorted by left, then right
    return a[kept], b[kept], value[kept]


def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFKD", text.casefold().strip())
    folded = "".join(character for character in folded if not unicodedata.combining(character))
    folded = _ARTICLE_LAST.sub(r"\2 \1", folded).replace("&", " and ").replace("'", "")
    return " ".join(_WORD.findall(folded))


def _all_spellings(names: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Return the spellings of all names, and for each spelling the index of its name: int64 (n,)."""
    each = [spellings(name) for name in names]
    return [text for texts in each for text in texts], np.repeat(np.arange(len(names)), [len(texts) for texts in each])


def _trigrams(texts: Sequence[str], n_first: int) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Return the weighted trigrams of texts, rows of length 1: of the first `n_first` texts, and of the others."""
    padded = [f"  {text} " for text in texts]
    grams = [[text[i : i + _GRAM] for i in range(len(text) - _GRAM + 1)] for text in padded]
    codes, known = pd.factorize(np.array([gram for row in grams for gram in row], dtype=object))
    rows = np.repeat(np.arange(len(texts)), [len(row) for row in grams])
    counts = sparse.csr_matrix((np.ones(len(codes)), (rows, codes)), shape=(len(texts), len(known)))
    frequency = np.bincount(counts.indices, minlength=len(known))
    weighted = counts @ sparse.diags(np.log(1 + len(texts) / np.maximum(frequency, 1)))
    norms = np.sqrt(np.asarray(weighted.power(2).sum(axis=1)).ravel())
    unit = (sparse.diags(1 / np.maximum(norms, 1e-12)) @ weighted).tocsr()
    return unit[:n_first], unit[n_first:]
