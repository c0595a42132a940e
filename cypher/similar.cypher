// Purpose: The items most similar to an item, by the vectors of a model's serving run.
// Parameters: $item: key of the item. $model: name of a published model, such as 'TransE'. $k: number of items.
// Returns: rank, id, title, similarity (0 to 1, from vector.similarity.cosine)
// Cost: one query of the vector index for ten times $k candidates, which are then ranked exactly; a few milliseconds.
// Cypher 25 replaces the procedure queryNodes by the clause SEARCH, in whose text the index must be named. kgplug uses
// SEARCH where the server has it. This text runs on every server, as a query of Cypher 5.
CYPHER 5
MATCH (model:KgplugModel {name: $model})
WITH model.serves AS number LIMIT 1
MATCH (run:KgplugRun {model: $model, number: number})
MATCH (item:`Movie`) WHERE item.`id` = $item
UNWIND [n IN range(0, size(run.labels) - 1) WHERE run.labels[n] IN labels(item) AND run.indexes[n] <> ''] AS n
WITH item, run.indexes[n] AS index, run.properties[n] AS property
WHERE item[property] IS NOT NULL
// nearest
CALL db.index.vector.queryNodes(index, 10 * $k + 1, item[property]) YIELD node AS similar_item
// end of nearest
WITH item, similar_item, property
WHERE similar_item <> item AND similar_item:`Movie`
WITH DISTINCT similar_item, vector.similarity.cosine(item[property], similar_item[property]) AS similarity
ORDER BY similarity DESC, similar_item.`id`
LIMIT $k
WITH collect({item: similar_item, similarity: similarity}) AS found
UNWIND range(1, size(found)) AS rank
WITH rank, found[rank - 1].item AS similar_item, found[rank - 1].similarity AS similarity
RETURN rank, similar_item.`id` AS id, coalesce(similar_item.`title`, similar_item.`id`) AS title, similarity
ORDER BY rank
