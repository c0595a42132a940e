"""Base class of recommenders that score by a logit, to which a side term and a sigmoid can be added."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import numpy as np
from scipy import sparse
from scipy.special import expit

from kgplug.data.erasure.item_arrays import ItemArrays
from kgplug.data.erasure.user_arrays import UserArrays
from kgplug.recommenders.base import Recommender
from kgplug.recommenders.click_through.config import ClickThroughConfig
from kgplug.recommenders.click_through.side_term import SideTerm
from kgplug.training.device import choose_device

_SIDE = "side."
SIDE_ITEMS = ItemArrays(columns=(f"{_SIDE}likes",), matrices=(f"{_SIDE}features",))
SIDE_ARRAYS = UserArrays(matrices=(f"{_SIDE}likes",), items=SIDE_ITEMS)
"""What `user_arrays` returns for the side term's arrays. A model adds its own arrays with `dataclasses.replace`."""


class LogitRecommender(Recommender):
    """A recommender that scores by logits, or by their sigmoids if scores are probabilities.

    Attributes:
        side: The side term, or None. It adds to each logit a number that a small network computes from counts of likes
            and from the knowledge-graph features that the item shares with the user's likes.
    """

    side: SideTerm | None = None

    @property
    def makes_lists_quickly(self) -> bool:
        """Whether all items are scored by products of vectors, which is fast enough to make lists after each epoch."""
        return False

    @abstractmethod
    def logits(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Return the logits of pairs: int64 (n,), int64 (n,) → float32 (n,).

        The side term (a score from counts of likes and shared knowledge-graph features) is not included.
        """

    @abstractmethod
    def logits_of_all(self, users: np.ndarray) -> np.ndarray:
        """Return the logits of some users and every item.

        The side term (a score from counts of likes and shared knowledge-graph features) is not included.

        Args:
            users: Indices, int64 (b,).

        Returns:
            A new array, float32 (b, n_items).
        """

    @abstractmethod
    def logits_of_new_users(self, likes: sparse.csr_matrix) -> np.ndarray:
        """Return the logits of new users and every item.

        The side term (a score from counts of likes and shared knowledge-graph features) is not included.

        Args:
            likes: Likes of each user, CSR (b, n_items), binary; a row may be empty.

        Returns:
            A new array, float32 (b, n_items).
        """

    def score(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        users, items = self._pair_rows(users, items)
        logits = self.logits(users, items)
        return self._scores(logits if self.side is None else logits + self.side.logits(users, items))

    def score_parts(self, users: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        own = self.logits(users, items).astype(np.float64)
        side = np.zeros(len(users)) if self.side is None else self.side.logits(users, items).astype(np.float64)
        return own, side

    def _score_block(self, users: np.ndarray) -> np.ndarray:
        return self._scores(self._unfinished_block(users)[0])

    def _unfinished_block(self, users: np.ndarray) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray] | None]:
        logits = self.logits_of_all(users)
        if self.side is not None:
            logits += self.side.logits_of_all(users)
        return logits, expit if self.scores_are_probabilities else None

    def _score_new_users(self, likes: sparse.csr_matrix) -> np.ndarray:
        return self._scores(self._unfinished_new_users(likes)[0])

    def _unfinished_new_users(
        self, likes: sparse.csr_matrix
    ) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray] | None]:
        logits = self.logits_of_new_users(likes)
        if self.side is not None:
            logits += self.side.logits_of_likes(likes)
        return logits, expit if self.scores_are_probabilities else None

    def _scores(self, logits: np.ndarray) -> np.ndarray:
        return expit(logits, out=logits) if self.scores_are_probabilities else logits

    def _state(self) -> dict[str, np.ndarray]:
        side = {} if self.side is None else self.side.arrays()
        return super()._state() | {f"{_SIDE}{name}": array for name, array in side.items()}

    def _take_state(self, arrays: dict[str, np.ndarray]) -> None:
        side = {name.removeprefix(_SIDE): array for name, array in arrays.items() if name.startswith(_SIDE)}
        super()._take_state({name: array for name, array in arrays.items() if not name.startswith(_SIDE)})
        if side:
            assert isinstance(self.config, ClickThroughConfig)  # which has the setting `side`
            device = choose_device(self.config.device)
            self.side = SideTerm.from_arrays(side, n_users=len(self.user_keys), device=device)
