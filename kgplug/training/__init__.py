"""One training loop for every model that learns by gradient descent."""
