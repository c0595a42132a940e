"""Embedding models and mined rules."""
