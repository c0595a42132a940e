"""Publishing, rolling back and removing."""
