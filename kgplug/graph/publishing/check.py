"""Check a publication before anything is written."""

from __future__ import annotations

import re

import numpy as np

from kgplug.data.publication import NodeVectors, Publication, RelationVectors, TopLists
from kgplug.errors import DataError, UsageError
from kgplug.graph.publishing.options import check_served_name
from kgplug.graph.publishing.writing.vectors import MAX_DIMENSIONS

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


def check_publication(publication: Publication) -> None:
    """Refuse names and arrays that cannot be written.

    Raises:
        UsageError: the model's name or the run's id is not valid.
        DataError: the arrays do not fit together.
    """
    check_served_name(publication.model)
    if not _RUN_ID.fullmatch(publication.run):
        raise UsageError(
            f"The run id {publication.run!r} is not valid: expected 1 to 100 letters, digits, dashes and underscores."
        )
    labels = [nodes.label for nodes in publication.vectors]
    for label in labels:
        if labels.count(label) > 1:
            raise DataError(f"{publication.model} has two sets of vectors for :{label} nodes; expected one per label.")
    for nodes in publication.vectors:
        _check_vectors(nodes)
    for lists in (publication.lists, *publication.similar):
        if lists is not None:
            _check_lists(lists)
    if publication.relations is not None:
        _check_relations(publication.relations)


def _check_vectors(nodes: NodeVectors) -> None:
    vectors, what = nodes.vectors, f"{nodes.label} vectors"
    if vectors.ndim != 2 or len(vectors) != len(nodes.keys):
        raise DataError(
            f"{what}: expected an array of {len(nodes.keys):,} rows, one per key; found one of shape {vectors.shape}."
        )
    if not 1 <= vectors.shape[1] <= MAX_DIMENSIONS:
        raise DataError(
            f"{what}: a vector index takes 1 to {MAX_DIMENSIONS} dimensions, found {vectors.shape[1]}. "
            "Train with another embedding_dim."
        )
    _check_unique(nodes.keys, f"{nodes.label} keys")


def _check_lists(lists: TopLists) -> None:
    shape = (len(lists.user_keys), lists.items.shape[-1])
    if lists.items.shape != shape or lists.scores.shape != shape:
        raise DataError(
            f"Lists: expected items and scores of one row for each of {len(lists.user_keys):,} users; "
            f"found shapes {lists.items.shape} and {lists.scores.shape}."
        )
    if lists.items.size and not (lists.items.min() >= -1 and lists.items.max() < len(lists.item_keys)):
        raise DataError(f"Lists: an item index is outside the {len(lists.item_keys):,} items (-1 marks a gap).")
    if not np.isfinite(lists.scores[lists.items >= 0]).all():
        raise DataError("Lists: expected finite scores, found an infinite one or NaN. Train again.")
    _check_unique(lists.user_keys, "User keys of the lists")
    _check_unique(lists.item_keys, "Item keys of the lists")


def _check_relations(relations: RelationVectors) -> None:
    n = len(relations.names)
    for meaning, tensor in relations.tensors.items():
        if len(tensor) != n or not np.isfinite(tensor).all():
            raise DataError(
                f"Relation vectors ({meaning}): expected finite numbers for each of {n:,} relations; found shape "
                f"{tensor.shape}{'' if np.isfinite(tensor).all() else ' with an infinite number or NaN'}. Train again."
            )
    _check_unique(relations.names, "Relations")


def _check_unique(keys: np.ndarray, what: str) -> None:
    if len(set(keys)) < len(keys):
        raise DataError(f"{what}: expected every key once, found {len(keys) - len(set(keys)):,} repeated.")
