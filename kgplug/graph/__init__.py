"""Everything that talks to Neo4j. No other package uses Bolt."""
