"""Measure models: click-through, full ranking, link prediction, comparisons of several models."""
