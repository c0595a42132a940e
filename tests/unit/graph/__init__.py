"""The part of kgplug.graph that needs no server."""
