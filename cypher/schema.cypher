// Purpose: Make the key of a label unique; imports and lookups need the index of this constraint
// Parameters: none
// Returns: nothing
// Cost: one scan of the label; refused if two nodes share a key
// Run it once per label. This text is for the demo's films; `kgplug import` does it for every label of a folder.
CREATE CONSTRAINT IF NOT EXISTS FOR (item:`Movie`) REQUIRE item.`id` IS UNIQUE
