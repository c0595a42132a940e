"""The Neo4j that kgplug installs and runs on this machine."""
