"""Erasing a user or an item from what is stored."""
