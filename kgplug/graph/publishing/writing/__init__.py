"""Write what a publish puts into the graph: lists, vectors of nodes, vectors of relations."""
