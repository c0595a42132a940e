"""The connection to Neo4j: encryption, errors in plain words, and dates that Python cannot represent."""
