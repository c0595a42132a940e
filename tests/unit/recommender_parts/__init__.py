"""Building blocks of recommenders."""
