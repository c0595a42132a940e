"""What a single value may be: keys, numbers, times, texts."""
