"""Between PyKEEN's names, datasets and results and kgplug's."""
