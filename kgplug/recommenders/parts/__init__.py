"""Blocks that several recommenders are built of."""
