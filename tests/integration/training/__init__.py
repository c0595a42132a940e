"""Training on graphs, runs, and links."""
