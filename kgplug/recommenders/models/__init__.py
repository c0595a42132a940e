"""One file per recommender. Files with an underscore are parts of one model."""
