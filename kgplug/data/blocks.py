"""Rows in blocks of bounded size."""

from __future__ import annotations


def row_blocks(n: int, size: int) -> list[slice]:
    """Return slices of at most `size` rows each that cover range(n), in order; none where n is 0."""
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]
