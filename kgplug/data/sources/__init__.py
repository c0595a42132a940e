"""Data to import into a graph: CSV folders, and data sets to download."""
