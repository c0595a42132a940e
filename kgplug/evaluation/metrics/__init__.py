"""All metrics: one file per kind of measured object, and `catalogue.py`, which lists every metric."""
