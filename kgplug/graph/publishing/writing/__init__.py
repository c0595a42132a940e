"""What `publish` writes: lists, vectors of nodes, vectors of relations."""
