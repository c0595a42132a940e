// Purpose: Reasons for recommending an item to a user: paths from the user's liked items, through a shared node, to it.
// Parameters: $user, $item: keys. $k: number of paths.
//             $like_threshold: the lowest rated.`rating` that counts as a like; with null, all feedback counts.
// Returns: one row per path. liked (the liked item), via (type of the relationship between it and the shared node),
//          shared_label, shared (the shared node's label and name; no name if the node has only a key that people cannot
//          read), to (type of the relationship between the shared node and the item), weight, shared_labels (all labels
//          of the shared node)
//          Nodes with a name come first, then those with a high weight. The weight is log2(1 + number of liked items
//          connected to the shared node) / (5 + number of its relationships): high for a node that connects several
//          liked items and is not connected to everything. Without the 5, a node with only two relationships, which
//          hardly anyone knows, would come before a well-known one.
// Cost: takes the item's 200 neighbours with the fewest relationships (from 2 to 100,000 each). Those with a name and
//       few relationships come first. Of these, it reads all neighbours, until 10 of them ($k, if that is more) are
//       connected to a liked item. Milliseconds, or tens of milliseconds if these have very many relationships.
MATCH (user:`User`)-[rated:`RATED`]->(liked_item:`Movie`)
WHERE user.`id` = $user
  AND ($like_threshold IS NULL OR toFloatOrNull(coalesce(toIntegerOrNull(toBooleanOrNull(toStringOrNull(rated.`rating`))), rated.`rating`)) >= $like_threshold)
WITH user, collect(liked_item) AS likes
MATCH (item:`Movie`)-[to]-(shared)
WHERE item.`id` = $item AND item <> user AND NOT to:`RATED`
  AND NOT (shared:`User` AND EXISTS { (shared)-[:`RATED`]->(:`Movie`) })
  // and shared is no user or item of another tenant
  AND NOT (type(to) IN ['RECOMMENDS', 'SIMILAR_TO', 'PREDICTED'] AND (
    EXISTS { (:KgplugRun {id: to.run, model: to.model}) }
    OR EXISTS { (own:KgplugModel {name: to.model}) WHERE to.run IN own.predicted })) // kgplug's own edges are not reasons
WITH item, likes, shared, collect(DISTINCT type(to)) AS tos, COUNT { (shared)--() } AS degree
WHERE 2 <= degree <= 100000
ORDER BY degree, elementId(shared)
LIMIT 200
WITH item, likes, shared, tos, degree,
  // readable name of shared
  coalesce(shared.name, shared.title)
  // end of readable name
  AS name
ORDER BY name IS NULL, degree, elementId(shared)
CALL (item, likes, shared) {
  MATCH (shared)-[via]-(liked_item:`Movie`)
  WHERE liked_item <> item AND liked_item IN likes AND NOT via:`RATED`
  WITH via, liked_item
  WHERE NOT (type(via) IN ['RECOMMENDS', 'SIMILAR_TO', 'PREDICTED'] AND (
      EXISTS { (:KgplugRun {id: via.run, model: via.model}) }
      OR EXISTS { (own:KgplugModel {name: via.model}) WHERE via.run IN own.predicted }))
  RETURN collect(DISTINCT {item: liked_item, via: type(via)}) AS ways, count(DISTINCT liked_item) AS n_liked
}
WITH shared, tos, degree, name, ways, log(1 + n_liked) / log(2) / (5 + degree) AS weight
WHERE n_liked > 0
LIMIT CASE WHEN $k > 10 THEN $k ELSE 10 END
WITH *
ORDER BY name IS NULL, weight DESC, elementId(shared)
LIMIT $k
UNWIND ways AS way
UNWIND tos AS to
WITH way.item AS liked_item, way.via AS via, shared, name, to, weight
WITH coalesce(liked_item.`title`, liked_item.`id`) AS liked, via, shared, name, to, weight
ORDER BY name IS NULL, weight DESC, via <> to, liked, via, to, elementId(shared)
LIMIT $k
RETURN liked, via,
  // label of shared
  head(labels(shared))
  // end of label
  AS shared_label, name AS shared, to, weight, labels(shared) AS shared_labels
