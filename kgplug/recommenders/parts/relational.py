"""Item vectors from a translational embedding, to compare items relation by relation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import sparse

from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.errors import UsageError
from kgplug.recommenders.parts.pretrained import ItemEntities


def relational_vectors(
    entities: ItemEntities, knowledge: KnowledgeGraph, *, mean: bool, translate: bool, relations: int
) -> np.ndarray:
    """Return vectors of items whose cosine compares two items relation by relation.

    By TransE (head + relation = tail), each triple of an item predicts the item's vector. The prediction is t − r if
    the item is the head, and h + r if it is the tail. A directed relation r is a relation together with the item's
    role, head or tail. The predictions of each r are summed and scaled to length 1, which gives v_r. All v_r are
    concatenated. So the cosine of items A and B is a sum over the directed relations that both have, where n_A and n_B
    are their numbers of directed relations:

        sim(A, B) = Σ_r cos(v_r(A), v_r(B)) / √(n_A · n_B)

    Source: our design, for a comparison that the paper of CKCF (Zhou et al.) leaves to future work.

    Args:
        entities: Entities of the items, with their embedding.
        knowledge: Triples.
        mean: Whether to add up the predictions of all relations in one vector, instead of comparing relation by
            relation.
        translate: If true, a triple predicts t − r or h + r; if false, just t or h, the neighbour's vector.
        relations: Maximum number of directed relations to compare. The relations with the most items are chosen.

    Returns:
        float32 (n_items, at most relations · d), or (n_items, d) with `mean`; zeros for items without these relations.
        If no two items share a directed relation, the result is `entities.vectors`.

    Raises:
        UsageError: The embedding does not add relation vectors to entity vectors.
    """
    vectors = entities.model.entity_vectors()
    translation = _translation(entities) if translate else np.zeros((len(entities.model.relations), vectors.shape[1]))
    sums = [
        (links @ vectors - np.outer(links.sum(axis=1), sign * translation[relation])).astype(np.float32)
        for relation, sign, links in _links(entities, knowledge, relations)
    ]  # (n_items, d) each
    if not sums:
        return entities.vectors
    if mean:
        return np.stack(sums).sum(axis=0)
    lengths = [np.linalg.norm(part, axis=1, keepdims=True) for part in sums]
    return np.concatenate([part / np.maximum(n, 1e-12) for part, n in zip(sums, lengths, strict=True)], axis=1)


def _translation(entities: ItemEntities) -> np.ndarray:
    """Return the vector that each relation adds to a head, float32 (n_relations, d)."""
    found = entities.model.relation_vectors()
    parts = {name: vectors for name, vectors in found.items() if not name.startswith("inverse_")}
    if "translation" not in parts or not parts.keys() <= {"translation", "normal"}:  # others project or stretch heads
        raise UsageError(
            f"translate=True needs an embedding that adds relations to entities, such as TransE or TransH; found "
            f"{entities.model.name}. Choose another embedding, or set translate=False."
        )
    return parts["translation"]


def _links(
    entities: ItemEntities, knowledge: KnowledgeGraph, most: int
) -> Iterator[tuple[int, int, sparse.csr_matrix]]:
    """Yield (relation, sign, links) for each directed relation that at least two items have.

    A directed relation is a relation together with the item's role in it, head or tail.

    `relation` is the relation's index in the embedding. `sign` is 1 if the items are heads, -1 if they are tails.
    `links` is CSR float32 (n_items, n_entities), over the embedding's entities. It has a 1 for each triple of the
    relation between an item and an entity. At most `most` directed relations are yielded, those with the most items
    first.
    """
    entity_rows, relation_rows = knowledge.indices_in(entities.model.vocabulary)
    head, tail = entity_rows[knowledge.triples[:, [0, 2]]].T
    relation = relation_rows[knowledge.triples[:, 1]]
    known = (head >= 0) & (relation >= 0) & (tail >= 0)
    item_of = np.full(len(entities.model.entity_keys), -1, dtype=np.int64)
    item_of[entities.entities[entities.linked]] = np.flatnonzero(entities.linked)
    shape = (len(entities.linked), len(item_of))
    found = []
    for sign, own, other in ((1, head, tail), (-1, tail, head)):
        rows = np.flatnonzero(known)
        rows = rows[item_of[own[rows]] >= 0]
        items, others, kinds = item_of[own[rows]], other[rows], relation[rows]
        for number in np.unique(kinds):
            chosen = kinds == number
            ones = np.ones(chosen.sum(), dtype=np.float32)
            links = sparse.csr_matrix((ones, (items[chosen], others[chosen])), shape=shape)
            found.append((len(np.unique(items[chosen])), int(number), sign, links))
    found.sort(key=lambda each: (-each[0], each[1]))
    for n_items, number, sign, links in found[:most]:
        if n_items > 1:
            yield number, sign, links
