"""Metrics, protocols and significance."""
