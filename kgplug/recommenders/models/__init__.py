"""One file per recommender. A file whose name starts with an underscore is a private part of one model."""
