// Purpose: The most popular items on which a user has no feedback: a baseline, and a fallback for new users.
// Parameters: $user: key of the user. $k: number of items.
// Returns: rank, id, title, feedback (number of users with feedback on the item)
// Cost: reads the degree of every item; a few milliseconds for thousands of items.
MATCH (user:`User`) WHERE user.`id` = $user
MATCH (item:`Movie`)
WHERE item <> user AND NOT EXISTS { (user)-[:`RATED`]->(item) }
WITH item, COUNT { (item)<-[:`RATED`]-() } AS feedback
ORDER BY feedback DESC, item.`id`
LIMIT $k
WITH collect({item: item, feedback: feedback}) AS found
UNWIND range(1, size(found)) AS rank
WITH rank, found[rank - 1].item AS item, found[rank - 1].feedback AS feedback
RETURN rank, item.`id` AS id, coalesce(item.`title`, item.`id`) AS title, feedback
ORDER BY rank
