"""Graphs in the shapes of well-known public Neo4j data, for the tests of `kgplug init` and of all that follows it."""
