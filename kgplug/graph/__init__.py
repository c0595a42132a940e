"""Everything that talks to Neo4j. No other package of kgplug uses Bolt, Neo4j's protocol."""
