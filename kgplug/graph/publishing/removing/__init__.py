"""Take published results back: roll back, unpublish, erase a user, delete what no longer serves."""
