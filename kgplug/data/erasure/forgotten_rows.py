"""Remove a person's feedback and triples from the row hashes that a run stores (`kgplug.data.row_memory`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from kgplug.data.knowledge_graph import triple_hashes
from kgplug.data.row_memory import NEW, RowMemory
from kgplug.data.splitting import hash_keys, hash_names, hash_pairs


def without_person(
    arrays: dict[str, np.ndarray], content: dict[str, Any], label: str, key: int | str, *, is_item: bool = False
) -> dict[str, np.ndarray]:
    """Return a run's arrays without the hashes of feedback and triples that involve a person.

    By trying all pairs of keys, anyone can find the two keys behind a hash. So none of the person's hashes may stay.

    Args:
        arrays: the run's arrays.
        content: the run's content, with the person's key still in it.
        label: node label of the person.
        key: key of the person.
        is_item: whether the item with this key is the same person.
    """
    memory = RowMemory.from_arrays(arrays)
    if memory is None:
        return arrays
    own = hash_keys(np.array([key, None], dtype=object)[:1])
    if "user_keys" in content:
        users, items = (hash_keys(_column(content[name])) for name in ("user_keys", "item_keys"))
        found = np.concatenate([hash_pairs(own, items), hash_pairs(users, own) if is_item else own[:0]])
    else:
        own = hash_pairs(hash_names(np.array([label], dtype=object)), own)
        entities = hash_pairs(hash_names(_column(content["entity_labels"])), hash_keys(_column(content["entity_keys"])))
        found = _triples_of(memory, own, hash_names(_column(content["relations"])), entities)
    return arrays | memory.without(found).to_arrays()


def _triples_of(memory: RowMemory, own: np.ndarray, relations: np.ndarray, entities: np.ndarray) -> np.ndarray:
    """Return the stored hashes of the triples whose head or tail is a given entity, uint64 (m,).

    Args:
        memory: the stored hashes.
        own: uint64 (1,), hash of the entity.
        relations, entities: uint64 (n_relations,) and (n_entities,), hashes of all relations and entities.
    """
    found = [np.empty(0, dtype=np.uint64)]
    for relation in relations:  # one at a time, to save memory
        for heads, tails in ((own, entities), (entities, own)):
            hashes = triple_hashes(heads, relation, tails)  # (n_entities,)
            found.append(hashes[memory.sets_of(hashes) != NEW])
    return np.concatenate(found)


def _column(values: list[Any]) -> np.ndarray:
    """Return keys or names as an object array, (n,)."""
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column
