"""What the two papers that kgplug builds on show, measured again: one file per table or figure."""
