"""What the recommenders that learn from pairs of user and item share."""
