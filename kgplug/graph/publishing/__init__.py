"""Write a run into the graph, take it back, and tell what would change."""
