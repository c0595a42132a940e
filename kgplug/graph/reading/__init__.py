"""Read interactions and triples from a graph."""
