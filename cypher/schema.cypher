// Purpose: Make the key of a label unique; imports and lookups need the index of this constraint
// Parameters: none
// Returns: nothing
// Cost: one scan of the label's nodes. If two nodes have the same key, Neo4j refuses to create the constraint
// Run it once per label. This query is for the demo's films; `kgplug import` runs it for every label of a folder.
CREATE CONSTRAINT IF NOT EXISTS FOR (item:`Movie`) REQUIRE item.`id` IS UNIQUE
