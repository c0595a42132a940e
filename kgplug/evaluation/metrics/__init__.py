"""Every metric: one file per kind of thing that is measured, and `catalogue.py`, which lists them all."""
