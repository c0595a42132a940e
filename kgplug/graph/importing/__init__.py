"""From CSV files to a graph."""
