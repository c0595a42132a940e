"""Import CSV files into a graph."""
