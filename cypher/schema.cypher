// Purpose: Make the key of a label unique; imports and look-ups need the index that comes with it
// Parameters: none
// Returns: nothing
// Cost: one scan of the label; refused when two of its nodes share a key
// Once a label. As it stands, for the demo's films; `kgplug import` does it for every label of a folder.
CREATE CONSTRAINT IF NOT EXISTS FOR (item:`Movie`) REQUIRE item.`id` IS UNIQUE
