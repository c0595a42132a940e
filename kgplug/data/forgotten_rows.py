"""Rows of a person taken out of what a run remembers of its split."""

from __future__ import annotations

import numpy as np

from kgplug.data.knowledge_graph import triple_hashes
from kgplug.data.row_memory import NEW, RowMemory
from kgplug.data.splitting import hash_keys, hash_pairs, hashed


def without_person(
    arrays: dict[str, np.ndarray], content: dict, label: str, key: int | str, *, is_item: bool = False
) -> dict[str, np.ndarray]:
    """Return the arrays of a run without the remembered rows that a person takes part in, as user, item or entity.

    A hash of two keys gives them away to anyone who tries all pairs of keys, so no hash of the person's rows stays.

    Args:
        arrays: of the run.
        content: of the run, with the person's key still in it.
        label: node label of the person.
        key: of the person.
        is_item: whether the item with this key is the person, too.
    """
    memory = RowMemory.from_arrays(arrays)
    if memory is None:
        return arrays
    own = hash_keys(np.array([key, None], dtype=object)[:1])
    if content["kind"] == "recommender":
        users, items = (hash_keys(_column(content[name])) for name in ("user_keys", "item_keys"))
        found = np.concatenate([hash_pairs(own, items), hash_pairs(users, own) if is_item else own[:0]])
    else:
        own = hash_pairs(hashed(np.array([label], dtype=object)), own)
        entities = hash_pairs(hashed(_column(content["entity_labels"])), hash_keys(_column(content["entity_keys"])))
        found = _triples_of(memory, own, hashed(_column(content["relations"])), entities)
    return arrays | memory.without(found).to_arrays()


def _triples_of(memory: RowMemory, own: np.ndarray, relations: np.ndarray, entities: np.ndarray) -> np.ndarray:
    """Return the remembered hashes of triples from or to one entity, uint64 (m,).

    Args:
        own: uint64 (1,), of the entity.
        relations, entities: uint64, of all.
    """
    found = [np.empty(0, dtype=np.uint64)]
    for relation in relations:  # one at a time, for the memory that all of them would take
        for heads, tails in ((own, entities), (entities, own)):
            hashes = triple_hashes(heads, relation, tails)  # (n_entities,)
            found.append(hashes[memory.parts_of(hashes) != NEW])
    return np.concatenate(found)


def _column(values: list) -> np.ndarray:
    """Return keys or names as an object array, (n,)."""
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column
