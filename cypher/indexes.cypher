// Purpose: The state of kgplug's vector indexes, and how far they are populated.
// Parameters: none.
// Returns: name, label, property, state, populated (percent)
// Cost: negligible.
SHOW VECTOR INDEXES YIELD name, labelsOrTypes, properties, state, populationPercent
WHERE EXISTS { (run:KgplugRun) WHERE name IN run.indexes }
RETURN name, labelsOrTypes[0] AS label, properties[0] AS property, state, populationPercent AS populated
ORDER BY name
