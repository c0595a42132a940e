"""Queries and answers from a published model."""
