"""Lists: the best k, ties, diversity, nearest vectors."""
