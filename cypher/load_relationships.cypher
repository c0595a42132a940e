// Purpose: Load relationships from a CSV file: create missing relationships, update changed ones
// Parameters: $file: the file as the server sees it, e.g. "file:///User-RATED-Movie.csv" in its import folder
// Returns: rows (number of rows read)
// Cost: per row two index seeks, and one search for the relationship between the two nodes; transactions of 10,000
//       rows. Load the nodes first
// This query loads the demo's relationships/User-RATED-Movie.csv. For another file, `kgplug import` replaces labels,
// keys, type and the marked lines, as that file's name and header require, and puts the names in backticks.
LOAD CSV WITH HEADERS FROM $file AS row
CALL (row) {
  WITH toInteger(row.`user:int`) AS head_key, toInteger(row.`movie:int`) AS tail_key, {
    // properties
    `rating`: toFloat(row.`rating:float`),
    `timestamp`: toInteger(row.`timestamp:int`)
    // end of properties
  } AS properties
  MATCH (head:`User` {`id`: head_key})
  MATCH (tail:`Movie` {`id`: tail_key})
  MERGE (head)-[link:`RATED`]->(tail)
    // set
    ON CREATE SET link += properties
    ON MATCH SET link += CASE WHEN any(name IN keys(properties) WHERE
      coalesce(link[name] <> properties[name], (link[name] IS NULL) <> (properties[name] IS NULL)))
      THEN properties ELSE {} END
    // end of set
} IN TRANSACTIONS OF 10000 ROWS
RETURN count(*) AS rows
