"""Where data comes from that is not in a graph yet: CSV folders and downloaded data sets."""
