"""How models without epochs choose their settings, and how good lists are on the validation set."""
