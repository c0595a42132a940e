"""Conversions between PyKEEN's names, data sets and results and those of kgplug."""
