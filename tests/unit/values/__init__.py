"""Keys, texts, dates and JSON."""
