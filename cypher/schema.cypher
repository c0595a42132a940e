// Purpose: Make the key of a label unique; imports and lookups need the index of this constraint
// Parameters: none
// Returns: nothing
// Cost: one scan of the label's nodes. Neo4j refuses the constraint if two nodes have the same key
// Run it once per label. This query is for the demo's films; `kgplug import` runs it for every label of a folder.
CREATE CONSTRAINT IF NOT EXISTS FOR (item:`Movie`) REQUIRE item.`id` IS UNIQUE
