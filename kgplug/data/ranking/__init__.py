"""From scores to lists: the best k, ties, diversity."""
