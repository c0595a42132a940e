"""CKCF: neighbours by feedback and neighbours by the graph, two lists fused into one."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from kgplug.data.ranking.ties import ROUNDING, groups_of_sorted
from kgplug.recommenders.catalogue import RECOMMENDERS
from kgplug.recommenders.parts.fusion import fuse
from kgplug.recommenders.parts.two_neighbourhoods import TwoNeighbourhoods, TwoNeighbourhoodsConfig


class CKCFConfig(TwoNeighbourhoodsConfig):
    """Settings of CKCF.

    The paper has 20 neighbours and cf_share=0.5 (its ratio 5:5); its lists hold only books near to a liked one
    (back_fill="none"), and its data only books with an entity (linked_only=True).
    """


class CKCF(TwoNeighbourhoods):
    """Item-CF and the semantic neighbours of TransE, fused by "high replaces low".

    Each like brings its nearest items by penalised co-occurrence (`co_occurrence`) and by the cosine of their
    entities' vectors (`nearest_vectors`, which raises new items). Each kind makes a ranked list without the seen
    items, and `fuse` makes one of both. The lists of N = 1, 2, 3, … places nest, so `recommend` for k gives the
    paper's list of N = k for every k. The score is 1 / place. Below stand the items of neither list, by
    their likes, and the user's seen items are among these. `also_seen` is dropped after the fusion.

    Source: Zhou et al., CKCF, as described to us: its title and year we do not know, and its formulas came as prose,
    so what they leave open is a setting. TransE: A. Bordes et al., "Translating Embeddings for Modeling
    Multi-relational Data", NeurIPS 2013. The fusion in one nested ranking is ours.

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
        """Return the scores of both lists in one: float32 (b, n_items) of CSR (b, n_items) both."""
        lists = [self._ranked(similarity, likes, seen) for similarity in (self.cf, self.semantic)]
        fused = fuse(*lists, share=self.config.cf_share)  # (b, at most both lists)
        below = self.base / np.float32(len(self.base) + 1)  # the last place that there can be scores 1 / n_items
        scores = np.tile(below, (len(fused), 1))
        rows, places = np.nonzero(fused >= 0)
        scores[rows, fused[rows, places]] = 1 / (places + 1)
        return scores

    def _ranked(self, similarity: sparse.csr_matrix, likes: sparse.csr_matrix, seen: sparse.csr_matrix) -> np.ndarray:
        """Return unseen candidates, best first: int64 (b, longest list), -1 past a list's end."""
        found = self.candidates(similarity, likes)
        found = sparse.csr_matrix(found - found.multiply(seen))
        found.eliminate_zeros()
        n = len(found.indptr) - 1
        largest = found.max(axis=1).toarray()[:, 0] if found.nnz else np.zeros(n)  # first: it sorts the indices
        row = np.repeat(np.arange(n), np.diff(found.indptr))
        order = np.lexsort((np.negative(found.data), row))
        group = groups_of_sorted(row, found.data[order], largest * ROUNDING)
        order = order[np.lexsort((self._tie_places[found.indices[order]], group))]
        ranked = np.full((n, int(np.diff(found.indptr).max(initial=0))), -1, dtype=np.int64)
        ranked[row, np.arange(len(row)) - found.indptr[row]] = found.indices[order]
        return ranked
