"""Building blocks of several recommenders."""
