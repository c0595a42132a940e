"""Rules that are mined from triples, and the links that they predict."""
