"""The connection to Neo4j: encryption, error messages, and dates that Python cannot represent."""
