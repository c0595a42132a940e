"""Undo or remove what was published: roll back, unpublish, erase a user, delete old runs."""
