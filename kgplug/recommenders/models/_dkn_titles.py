"""Titles as rows of word numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from kgplug.data.values.keys import factorize

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, eq=False)
class Titles:
    """The first words of each title.

    Attributes:
        words: int64 (n_items, T), numbers from 1; 0 where there is no word.
        held: float32 (n_items, T), 1 where a token stands. A title without a word is one token without a word.
        n_words: how many different words there are, and one for none.
    """

    words: np.ndarray
    held: np.ndarray
    n_words: int


def read_titles(texts: np.ndarray, *, most: int, least: int = 1) -> Titles:
    """Part titles into words, in lower case.

    Args:
        texts: object (n_items,) of str.
        most: words kept of a title.
        least: T at least; T is otherwise the length of the longest title kept.
    """
    titles = [_WORD.findall(text.lower())[:most] for text in texts]
    lengths = np.array([len(title) for title in titles], dtype=np.int64)
    width = max(int(lengths.max(initial=0)), least)
    every = np.fromiter((word for title in titles for word in title), dtype=object, count=int(lengths.sum()))
    numbers, known = factorize(every)  # in the order of their letters
    words = np.zeros((len(titles), width), dtype=np.int64)
    words[np.arange(width) < lengths[:, None]] = numbers + 1
    held = np.arange(width) < np.maximum(lengths, 1)[:, None]
    return Titles(words, held.astype(np.float32), len(known) + 1)
