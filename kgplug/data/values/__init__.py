"""Check and convert keys, numbers, times and texts."""
