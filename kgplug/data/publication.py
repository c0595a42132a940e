"""The plain arrays and keys that a trained model hands to the publisher."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kgplug.data.own_items import same_keys_as, without_own

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class NodeVectors:
    """Vectors of the nodes of one label.

    Attributes:
        label: node label.
        keys: object (n,), values of the label's key property.
        vectors: float32 (n, embedding_dim).
        indexed: whether to build a vector index for this label.
    """

    label: str
    keys: np.ndarray
    vectors: np.ndarray
    indexed: bool = True


def vectors_by_label(labels: np.ndarray, keys: np.ndarray, vectors: np.ndarray) -> list[NodeVectors]:
    """Return one `NodeVectors` per label, sorted by label.

    Args:
        labels, keys: object (n,), labels and keys of the entities.
        vectors: float32 (n, d).
    """
    rows_of = {label: np.flatnonzero(labels == label) for label in sorted(set(labels))}
    return [NodeVectors(label, keys[rows], vectors[rows]) for label, rows in rows_of.items()]


@dataclass(frozen=True, eq=False)
class RelationVectors:
    """Parameters that a model has learnt for each relation.

    Attributes:
        names: object (n_relations,), relationship types.
        tensors: name of a parameter, such as "translation" → its values, float32 (n_relations, …).
    """

    names: np.ndarray
    tensors: dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class TopLists:
    """One ranked list of items per user, or one ranked list of similar nodes per node.

    In lists of similar nodes, the "user" is the node and the "items" are the nodes similar to it.

    Attributes:
        user_label, item_label: node labels.
        user_keys: object (n_users,), key of each list's user.
        item_keys: object (n_items,), the keys that `items` refers to.
        items: int64 (n_users, k), indices into `item_keys`, best first, -1 where a list is shorter.
        scores: float32 (n_users, k), score of each item.
    """

    user_label: str
    item_label: str
    user_keys: np.ndarray
    item_keys: np.ndarray
    items: np.ndarray
    scores: np.ndarray

    def without_own(self) -> TopLists:
        """Return the lists, each without the node that it is for.

        A user and an item with equal label and key are one node.
        """
        own = same_keys_as(self.user_keys, self.item_keys) if self.user_label == self.item_label else None
        if own is None:
            return self
        items, scores = without_own(self.items, self.scores, own)
        return replace(self, items=items, scores=scores)


@dataclass(frozen=True, eq=False)
class Publication:
    """Everything that one run writes into the graph.

    Attributes:
        model: name under which the run is served, e.g. "MKR".
        run: id of the run, unique; letters, digits, "-" and "_".
        vectors: vectors of nodes, one entry per label.
        lists: recommended lists, or None for a model that does not recommend.
        details: facts about the run (settings, metrics …), stored as JSON on the run's own node in the graph,
            (:KgplugRun).
        relations: parameters of the relations, or None for a model without them.
        similar: the nearest nodes of each node, one entry per label; see `kgplug.data.ranking.neighbours`.
        findings: signs that the model has collapsed, one sentence each (`kgplug.data.health`).
        not_nodes: label → number of vectors that are left out, because these entities are values of properties.
    """

    model: str
    run: str
    vectors: list[NodeVectors] = field(default_factory=list[NodeVectors])
    lists: TopLists | None = None
    details: dict[str, Any] = field(default_factory=dict[str, Any])
    relations: RelationVectors | None = None
    similar: list[TopLists] = field(default_factory=list[TopLists])
    findings: list[str] = field(default_factory=list[str])
    not_nodes: dict[str, int] = field(default_factory=dict[str, int])

    def without_values(self, labels: Collection[str]) -> Publication:
        """Return the publication without vectors of values of properties, which have no nodes in the graph.

        Args:
            labels: labels of the values, such as "Movie.genres".
        """
        left_out = {nodes.label: len(nodes.keys) for nodes in self.vectors if nodes.label in labels}
        kept = [nodes for nodes in self.vectors if nodes.label not in labels]
        return replace(self, vectors=kept, not_nodes={**self.not_nodes, **left_out})


@dataclass(frozen=True, eq=False)
class Predictions:
    """The most plausible triples of one relation that the graph does not contain, best first.

    Attributes:
        model, run: name of the model and id of the run that gave the scores.
        relation: relationship type.
        head_labels, tail_labels: object (n,), node labels.
        head_keys, tail_keys: object (n,), node keys.
        scores: float32 (n,), higher is more plausible.
        reasons: object (n,), text that says why each triple is predicted; None if the model cannot say.
    """

    model: str
    run: str
    relation: str
    head_labels: np.ndarray
    head_keys: np.ndarray
    tail_labels: np.ndarray
    tail_keys: np.ndarray
    scores: np.ndarray
    reasons: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.scores)

    def __repr__(self) -> str:
        return f"{len(self):,} predictions of :{self.relation} by {self.model}, run {self.run}"

    def _repr_html_(self) -> str:
        return self.to_dataframe().to_html(index=False)

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per triple: rank, head_label, head, relation, tail_label, tail, score.

        If the model gives reasons, they are the last column, reason.
        """
        import pandas as pd

        frame = pd.DataFrame(
            {
                "rank": np.arange(1, len(self) + 1),
                "head_label": self.head_labels,
                "head": self.head_keys,
                "relation": self.relation,
                "tail_label": self.tail_labels,
                "tail": self.tail_keys,
                "score": self.scores,
            }
        )
        return frame if self.reasons is None else frame.assign(reason=self.reasons)


@dataclass(frozen=True)
class PathRule:
    """A rule about any nodes X and Y: relation(X, Y) holds if a path of one or two relationships leads from X to Y.

    Attributes:
        relation: Relationship type that the rule concludes.
        body: The path from X to Y: for each step, the relationship type, and True if the step goes from the start of
            the relationship to its end, False if it goes backwards.
        confidence: support / (body_size + a constant), where the constant is a setting of the model (`laplace`).
        support: Number of pairs (X, Y) for which both the path and the relationship exist.
        body_size: Number of pairs (X, Y) for which the path exists.
        rule: The rule as text, such as "DIRECTED(X, Y) <- DIRECTED(X, Z), SEQUEL(Z, Y)".
    """

    relation: str
    body: list[tuple[str, bool]]
    confidence: float
    support: int
    body_size: int
    rule: str


def usable_rows(vectors: np.ndarray) -> np.ndarray:
    """Return whether each vector has a direction, bool (n,): its length is finite and above zero in float32."""
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        squared = np.einsum("nd,nd->n", vectors, vectors, dtype=np.float32)  # (n,)
    return np.isfinite(squared) & (squared > 0)
