"""Erase a user or an item from a stored run."""
