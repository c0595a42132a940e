"""One file for each recommender; the private parts of a model stand next to it, with an underscore."""
