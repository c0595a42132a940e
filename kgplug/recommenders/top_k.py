"""Exact top-k of a block of scores; shared with the embeddings."""

from kgplug.data.top_k import top_k

__all__ = ["top_k"]
