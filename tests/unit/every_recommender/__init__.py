"""What holds for every recommender."""
