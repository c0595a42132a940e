"""Single values: keys, numbers, times, texts."""
