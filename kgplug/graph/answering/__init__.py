"""Answers from what is published: recommendations, similar nodes, explanations."""
