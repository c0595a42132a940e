"""Arrays of interactions and triples: no torch, no Bolt."""
