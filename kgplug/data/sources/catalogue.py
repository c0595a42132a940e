"""Every data set that `kgplug import` knows by name. Importing this module loads neither data nor heavy packages."""

from __future__ import annotations

from kgplug.data.sources.data_set import DataSet
from kgplug.data.sources.movielens_100k import MOVIELENS_100K

DATA_SETS: dict[str, DataSet] = {data_set.name: data_set for data_set in (MOVIELENS_100K,)}
"""Data sets by name. To add one, write its file next to `movielens_100k.py` and add it here."""

DEMO = MOVIELENS_100K
"""The data set of `kgplug demo`."""
