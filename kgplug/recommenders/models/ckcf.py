"""CKCF: neighbours by feedback and neighbours by the graph, fused into one list."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from kgplug.data.ranking.ties import ROUNDING, groups_of_sorted
from kgplug.recommenders.catalogue import RECOMMENDERS
from kgplug.recommenders.parts.fusion import fuse
from kgplug.recommenders.parts.two_neighbourhoods import TwoNeighbourhoods, TwoNeighbourhoodsConfig


class CKCFConfig(TwoNeighbourhoodsConfig):
    """Settings of CKCF.

    The paper's settings: 20 neighbours; cf_share=0.5 (its ratio 5:5); back_fill="none", so that lists have only items
    near a liked one; linked_only=True, so that the data have only items with an entity.
    """


class CKCF(TwoNeighbourhoods):
    """Fuses the lists of item-CF and of TransE similarity into one, by "high replaces low" (explained in `fuse`).

    The candidates are the nearest items of each like, by penalised co-occurrence (`co_occurrence`) and by the cosine of
    their entities' vectors (`nearest_vectors`, which raises similarities to new items). Each of the two similarities
    gives a ranked list without the seen items, and `fuse` fuses both lists. A fused list is a prefix of any longer one,
    so the first k items of `recommend` are exactly the paper's list of length k. The score is 1 / rank. All other
    items, such as the user's seen items, rank below, by number of likes. The items in `also_seen` (an argument of
    `recommend`) are removed after the fusion.

    Source: Zhou et al., CKCF, as described to us. We do not know the paper's title and year, and had its formulas only
    as prose, so everything that this prose leaves open is a setting. TransE: A. Bordes et al., "Translating Embeddings
    for Modeling Multi-relational Data", NeurIPS 2013. The fusion in one nested ranking is ours.
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
        """Return the scores of all items from the fused lists: CSR (b, n_items) twice → float32 (b, n_items)."""
        lists = [self._ranked(similarity, likes, seen) for similarity in (self.cf, self.semantic)]
        fused = fuse(*lists, share=self.config.cf_share)  # (b, at most the length of both lists together)
        below = self.base / np.float32(len(self.base) + 1)  # the lowest possible rank scores 1 / n_items
        scores = np.tile(below, (len(fused), 1))
        rows, places = np.nonzero(fused >= 0)
        scores[rows, fused[rows, places]] = 1 / (places + 1)
        return scores

    def _ranked(self, similarity: sparse.csr_matrix, likes: sparse.csr_matrix, seen: sparse.csr_matrix) -> np.ndarray:
        """Return each user's unseen candidates, best first: int64 (b, longest list), -1 past a list's end."""
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
