"""Bridge to PyKEEN: a Neo4j graph as a PyKEEN data set, and PyKEEN's results for publishing in Neo4j."""
