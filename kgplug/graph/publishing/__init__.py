"""Publish a run: options, plan, dry run, writing, rollback, and removal."""
