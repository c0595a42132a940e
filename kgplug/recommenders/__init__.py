"""Recommenders: one file a model, one contract (`base.py`), found by name through `kgplug.models`."""
