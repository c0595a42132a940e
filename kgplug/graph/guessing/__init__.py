"""Guess a kgplug.toml from an unknown graph."""
