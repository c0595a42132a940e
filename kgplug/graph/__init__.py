"""The only place that speaks Bolt."""
