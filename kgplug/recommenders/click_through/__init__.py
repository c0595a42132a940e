"""Code shared by the recommenders that are trained on user-item pairs."""
