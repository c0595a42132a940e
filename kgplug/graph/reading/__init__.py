"""From a graph to interactions and triples."""
