"""Find the nodes of two sources that are the same thing."""
