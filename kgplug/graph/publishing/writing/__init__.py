"""What `publish` writes: lists, vectors, relationships."""
