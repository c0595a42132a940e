// Purpose: Why an item may please a user: the paths from liked items, through something shared, to it.
// Parameters: $user, $item: keys. $like: least rating that counts as a like, or null. $k: how many paths.
// Returns: liked, via, shared_label, shared, to, weight (1 / number of relationships of the shared node)
// Cost: the neighbours of the item's 50 rarest neighbours, those with over 100,000 left out; milliseconds, tens of them
//       where the item shares something very common.
MATCH (user:`User`)-[rated:`RATED`]->(liked_item:`Movie`)
WHERE user.`id` = $user AND ($like IS NULL OR rated.`rating` >= $like)
WITH user, collect(liked_item) AS likes
MATCH (item:`Movie`)-[to]-(shared)
WHERE item.`id` = $item AND item <> user AND NOT type(to) IN ['RECOMMENDS', 'SIMILAR_TO', 'PREDICTED'] AND NOT to:`RATED`
  AND NOT (shared:`User` AND EXISTS { (shared)-[:`RATED`]->(:`Movie`) })
WITH item, likes, to, shared, COUNT { (shared)--() } AS degree
WHERE degree <= 100000
ORDER BY degree
LIMIT 50
MATCH (shared)-[via]-(liked_item:`Movie`)
WHERE liked_item <> item AND liked_item IN likes AND NOT type(via) IN ['RECOMMENDS', 'SIMILAR_TO', 'PREDICTED']
  AND NOT via:`RATED`
RETURN liked_item.`title` AS liked, type(via) AS via, head(labels(shared)) AS shared_label,
       coalesce(shared.name, shared.title, shared.id,
                shared[head([name IN keys(shared) WHERE NOT name STARTS WITH 'kgplug_'])]) AS shared,
       type(to) AS to, 1.0 / degree AS weight
ORDER BY weight DESC, liked
LIMIT $k
