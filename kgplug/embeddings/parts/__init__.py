"""Parts that embeddings are built from and trained with."""
