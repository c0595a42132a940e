"""The connection to Neo4j, and what its driver needs: encryption, errors in plain words, times out of range."""
