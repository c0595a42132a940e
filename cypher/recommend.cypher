// Purpose: The items recommended to a user, best first.
// Parameters: $user: key of the user. $model: name of a published model, such as 'MKR'. $k: number of items.
// Returns: rank, id, title, score, run
// Cost: reads the edges of one user; a millisecond or two.
MATCH (model:KgplugModel {name: $model})
WITH model.edition AS edition LIMIT 1
MATCH (user:`User`)-[recommends:RECOMMENDS {model: $model, edition: edition}]->(item:`Movie`)
WHERE user.`id` = $user AND EXISTS { (:KgplugRun {id: recommends.run, model: $model}) } // only kgplug's own edges
RETURN recommends.rank AS rank, item.`id` AS id, coalesce(item.`title`, item.`id`) AS title, recommends.score AS score, recommends.run AS run
ORDER BY rank
LIMIT $k
