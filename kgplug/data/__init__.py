"""Interactions and triples as arrays, without torch or a database connection."""
