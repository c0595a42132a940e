// Purpose: Reasons for recommending an item to a user: paths from the user's liked items, through a shared node, to it.
// Parameters: $user, $item: keys. $k: number of paths.
//             $like_threshold: the lowest rated.`rating` that counts as a like; with null, all feedback counts.
// Returns: one row per path. liked (the liked item), via (type of the relationship between it and the shared node),
//          shared_label, shared (the shared node's label and name), to (type of the relationship between the shared
//          node and the item), weight (1 / number of the shared node's relationships)
// Cost: takes the item's 50 neighbours with the fewest relationships (at most 100,000 each), and reads all neighbours
//       of these. Milliseconds, or tens of milliseconds if a shared node has very many relationships.
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
WITH item, likes, to, shared, COUNT { (shared)--() } AS degree
WHERE degree <= 100000
ORDER BY degree, elementId(shared)
LIMIT 50
MATCH (shared)-[via]-(liked_item:`Movie`)
WHERE liked_item <> item AND liked_item IN likes AND NOT via:`RATED`
  AND NOT (type(via) IN ['RECOMMENDS', 'SIMILAR_TO', 'PREDICTED'] AND (
    EXISTS { (:KgplugRun {id: via.run, model: via.model}) }
    OR EXISTS { (own:KgplugModel {name: via.model}) WHERE via.run IN own.predicted }))
WITH coalesce(liked_item.`title`, liked_item.`id`) AS liked, type(via) AS via, shared, type(to) AS to, 1.0 / degree AS weight, elementId(shared) AS place
ORDER BY weight DESC, liked, via, to, place
LIMIT $k
RETURN liked, via,
  // label of shared
  head(labels(shared))
  // end of label
  AS shared_label,
  // name of shared
  coalesce(shared.name, shared.title, shared.id)
  // end of name
  AS shared, to, weight
ORDER BY weight DESC, liked, via, to, place
