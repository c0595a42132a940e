"""Measure and compare models: click-through, full ranking, link prediction."""
