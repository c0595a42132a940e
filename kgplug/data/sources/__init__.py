"""Data that is not in a graph yet: CSV folders, and data sets to download."""
