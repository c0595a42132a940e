"""From an unknown graph to the text of a kgplug.toml."""
