"""Feedback, triples, splits, and the files of a run."""
