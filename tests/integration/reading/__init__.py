"""Reading a graph, and guessing and checking its schema."""
