"""CKCF: two lists, from item similarity in the feedback and in the knowledge graph, fused into one."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from kgplug.data.ranking.ties import ROUNDING, groups_of_sorted
from kgplug.recommenders.catalogue import RECOMMENDERS
from kgplug.recommenders.parts.fusion import fuse
from kgplug.recommenders.parts.two_neighbourhoods import TwoNeighbourhoods, TwoNeighbourhoodsConfig


class CKCFConfig(TwoNeighbourhoodsConfig):
    """Settings of CKCF.

    The paper's settings: 20 neighbours; cf_share=0.5 (the ratio 5:5 in the paper); back_fill="none", so that lists have
    only items similar to a liked item; linked_only=True, so that the data have only items with an entity.
    """


class CKCF(TwoNeighbourhoods):
    """Fuses a list of item-based collaborative filtering (item-CF) and a list of TransE similarity into one.

    Two similarities of items are used: by common users, with penalties for popular items and active users
    (`co_occurrence`), and by the cosine of the items' entity vectors (`nearest_vectors`, which raises similarities to
    new items). For each similarity, the items that are most similar to the user's likes are ranked, without the seen
    items. The two lists are fused by "high replaces low": the best items of the second list replace the lowest ranks of
    the first (`fuse`).

    The fused list of length k is a prefix of every longer one, so the first k items of `recommend` are exactly the
    paper's list of length k. The score is 1 / rank. All other items, such as the user's seen items, rank below, by
    number of likes. The items in `also_seen` (an argument of `recommend`) are removed after the fusion.

    Source: Zhou et al., CKCF, as described to us. We do not know the paper's title and year, and had its formulas only
    as prose, so everything that this prose leaves open is a setting. TransE: A. Bordes et al., "Translating Embeddings
    for Modeling Multi-relational Data", NeurIPS 2013. The single ranking for all lengths k is ours.
    """

    name = "CKCF"
    inputs = RECOMMENDERS["CKCF"].inputs
    config_class = CKCFConfig
    config: CKCFConfig
    scores_are_exact = True

    def _score_block(self, users: np.ndarray) -> np.ndarray:
        return self._fused(self.likes[users], self.seen[users])

    def _score_new_users(self, likes: sparse.csr_matrix) -> np.ndarray:
        return self._fused(likes, likes)

    def _fused(self, likes: sparse.csr_matrix, seen: sparse.csr_matrix) -> np.ndarray:
        """Return the scores of all items from the fused lists, float32 (b, n_items).

        Args:
            likes, seen: Liked items and seen items of each user, CSR (b, n_items).
        """
        lists = [self._ranked(similarity, likes, seen) for similarity in (self.cf, self.semantic)]
        fused = fuse(*lists, share=self.config.cf_share)  # (b, at most the length of both lists together)
        below = self.base / np.float32(len(self.base) + 1)  # the lowest possible rank scores 1 / n_items
        scores = np.tile(below, (len(fused), 1))
        rows, places = np.nonzero(fused >= 0)
        scores[rows, fused[rows, places]] = 1 / (places + 1)
        return scores

    def _ranked(self, similarity: sparse.csr_matrix, likes: sparse.csr_matrix, seen: sparse.csr_matrix) -> np.ndarray:
        """Rank the unseen items that are similar to each user's likes, best first.

        Return item indices, one row per user, int64 (b, length of the longest list); -1 after a list's end.

        Args:
            similarity: Similarity of items, CSR (n_items, n_items).
            likes, seen: Liked items and seen items of each user, CSR (b, n_items).
        """
        found = self.candidates(similarity, likes)
        found = sparse.csr_matrix(found - found.multiply(seen))
        found.eliminate_zeros()
        n = len(found.indptr) - 1
        largest = found.max(axis=1).toarray()[:, 0] if found.nnz else np.zeros(n)  # max() sorts `found`
        row = np.repeat(np.arange(n), np.diff(found.indptr))
        order = np.lexsort((np.negative(found.data), row))
        group = groups_of_sorted(row, found.data[order], largest * ROUNDING)
        order = order[np.lexsort((self._tie_places[found.indices[order]], group))]
        ranked = np.full((n, int(np.diff(found.indptr).max(initial=0))), -1, dtype=np.int64)
        ranked[row, np.arange(len(row)) - found.indptr[row]] = found.indices[order]
        return ranked
