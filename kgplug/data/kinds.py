"""The two kinds of model, and the inputs a model learns from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """Kind of model. Recommenders learn from feedback and give lists; embeddings learn from triples and give vectors.

    Attributes:
        gives_lists: whether each user gets a ranked list of items.
        fractions: default shares of the training, validation and test set.
    """

    gives_lists: bool
    fractions: tuple[float, float, float]

    def __new__(cls, value: str, gives_lists: bool, fractions: tuple[float, float, float]) -> Kind:
        kind = str.__new__(cls, value)
        kind._value_ = value
        kind.gives_lists, kind.fractions = gives_lists, fractions
        return kind

    RECOMMENDER = "recommender", True, (0.8, 0.1, 0.1)
    EMBEDDING = "embedding", False, (0.9, 0.05, 0.05)


@dataclass(frozen=True)
class Inputs:
    """The kinds of data that a model learns from. `str` returns those that it needs as text, such as "likes + triples".

    Attributes:
        likes: whether it learns from feedback of users on items.
        dislikes: whether it also learns from ratings below `like_threshold`.
        triples: whether it learns from a knowledge graph.
        titles: whether it learns from texts of the items.
        weights: whether it uses weights of feedback (`Interactions.weights`). It needs none, so `str` leaves them out.
    """

    likes: bool = False
    dislikes: bool = False
    triples: bool = False
    titles: bool = False
    weights: bool = False

    @property
    def likes_and_triples(self) -> bool:
        """Whether `fit` takes both feedback and triples, in this order."""
        return self.likes and self.triples

    def __str__(self) -> str:
        return " + ".join(name for name, needed in vars(self).items() if needed and name != "weights")


LIKES = Inputs(likes=True)
LIKES_AND_TRIPLES = Inputs(likes=True, triples=True)
TRIPLES = Inputs(triples=True)
