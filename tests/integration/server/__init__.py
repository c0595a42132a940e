"""Connecting, importing, and the local server."""
