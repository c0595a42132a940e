"""Answers from published models: recommendations, similar nodes, explanations."""
