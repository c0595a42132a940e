// Purpose: The most plausible missing relationships of one type that start at an item, by TransE's vectors.
// Parameters: $item: key of the item. $relation: the relationship type. $label: label of the nodes at the other end.
//             $model: name of a published TransE. $k: number of nodes.
// Returns: rank, name, score (minus the distance between head + translation and tail, as in `kgplug predict`)
// Cost: one query of the vector index for more than ten times $k candidates, which are then scored exactly; a few
//       milliseconds.
// This is a query of Cypher 5: in Cypher 25, the clause SEARCH replaces the procedure queryNodes, but its LIMIT cannot
// depend on the item's number of relationships.
// TransE's entity vectors have length 1, so ordering by the cosine of the index is the same as ordering by distance.
// The call below does the same with Neo4j GDS, for all items at once, with two differences: its score is the distance
// (smallest first), and it does not exclude existing relationships. 'projection' is a GDS projection of the nodes with
// the property run.properties[0]. [x IN …] copies the translation, because GDS needs a list created in the query, not
// the stored array:
//   CALL gds.ml.kge.predict.stream('projection', {
//     sourceNodeFilter: 'Movie', targetNodeFilter: $label, nodeEmbeddingProperty: run.properties[0],
//     relationshipTypeEmbedding: [x IN relation.translation | x], scoringFunction: 'transe', topK: $k
//   }) YIELD sourceNodeId, targetNodeId, score
// For DistMult, use relationshipTypeEmbedding: [x IN relation.diagonal | x], scoringFunction: 'distmult'.
CYPHER 5
MATCH (model:KgplugModel {name: $model})
WITH model.serves AS number LIMIT 1
MATCH (run:KgplugRun {model: $model, number: number})-[:HAS_RELATION]->(relation:KgplugRelation)
WHERE relation.name = $relation
MATCH (item:`Movie`) WHERE item.`id` = $item
UNWIND [n IN range(0, size(run.labels) - 1) WHERE run.labels[n] = $label AND run.indexes[n] <> ''] AS n
WITH item, run.indexes[n] AS index, run.properties[n] AS property, relation.translation AS translation
WHERE item[property] IS NOT NULL
WITH item, index, property, [i IN range(0, size(translation) - 1) | item[property][i] + translation[i]] AS target,
     COUNT { (item)-[known]->() WHERE type(known) = $relation } AS n_known
CALL db.index.vector.queryNodes(index, 10 * $k + n_known + 1, target) YIELD node AS tail
WITH item, tail, target, tail[property] AS vector
WHERE tail <> item AND NOT EXISTS { (item)-[known]->(tail) WHERE type(known) = $relation }
WITH tail, -sqrt(reduce(sum = 0.0, i IN range(0, size(target) - 1) | sum + (target[i] - vector[i]) ^ 2)) AS score
ORDER BY score DESC
LIMIT $k
WITH collect({tail: tail, score: score}) AS found
UNWIND range(1, size(found)) AS rank
WITH rank, found[rank - 1].tail AS tail, found[rank - 1].score AS score
RETURN rank,
  // name of tail
  coalesce(tail.name, tail.title, tail.id)
  // end of name
  AS name, score
ORDER BY rank
