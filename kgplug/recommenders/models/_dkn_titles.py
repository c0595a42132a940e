"""Item titles as arrays of word numbers, the input of DKN."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from kgplug.data.values.keys import factorize

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, eq=False)
class Titles:
    """The first words of each item's title, as numbers.

    Each title is padded to T words.

    Attributes:
        words: Number of each word, int64 (n_items, T), from 1 on; 0 for padding.
        held: Mask of `words`: 1 for a word, 0 for padding, float32 (n_items, T). If a title has no words, its first
            entry is 1, as for a word with the number 0.
        n_words: Number of different words, plus one for the number 0 (no word).
    """

    words: np.ndarray
    held: np.ndarray
    n_words: int


def read_titles(texts: np.ndarray, *, most: int, least: int = 1) -> Titles:
    """Split titles into lower-case words, and return the words as numbers.

    Args:
        texts: Titles, object (n_items,) of str.
        most: Maximum number of words per title; further words are dropped.
        least: Minimum number of words to which titles are padded (T in `Titles`).
    """
    titles = [_WORD.findall(text.lower())[:most] for text in texts]
    lengths = np.array([len(title) for title in titles], dtype=np.int64)
    width = max(int(lengths.max(initial=0)), least)
    every = np.fromiter((word for title in titles for word in title), dtype=object, count=int(lengths.sum()))
    numbers, known = factorize(every)  # numbers in alphabetical order
    words = np.zeros((len(titles), width), dtype=np.int64)
    words[np.arange(width) < lengths[:, None]] = numbers + 1
    held = np.arange(width) < np.maximum(lengths, 1)[:, None]
    return Titles(words, held.astype(np.float32), len(known) + 1)
