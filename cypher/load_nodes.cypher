// Purpose: Load nodes from a CSV file: create missing nodes, update changed ones
// Parameters: $file: the file as the server sees it, e.g. "file:///Movie.csv" in its import folder
// Returns: rows (number of rows read)
// Cost: one index seek per row, transactions of 10,000 rows; run schema.cypher first
// This query loads the demo's nodes/Movie.csv. For another file, `kgplug import` replaces the label, the key and the
// marked lines, as that file's name and header require, and puts the names in backticks.
LOAD CSV WITH HEADERS FROM $file AS row
CALL (row) {
  WITH row, toInteger(row.`id:int`) AS key, {
    // properties
    `title`: row.`title`,
    `year`: toInteger(row.`year:int`)
    // end of properties
  } AS properties
  MERGE (node:`Movie` {`id`: key})
    // set
    ON CREATE SET node += properties
    ON MATCH SET node += CASE WHEN any(name IN keys(properties) WHERE
      coalesce(node[name] <> properties[name], (node[name] IS NULL) <> (properties[name] IS NULL)))
      THEN properties ELSE {} END
    // end of set
  // labels
  // end of labels
} IN TRANSACTIONS OF 10000 ROWS
RETURN count(*) AS rows
