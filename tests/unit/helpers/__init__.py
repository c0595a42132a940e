"""What several unit tests share: planted data, literal equations, readers of output."""
