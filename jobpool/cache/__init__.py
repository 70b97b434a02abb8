"""What was computed once for all tasks of a pool, keyed by what made it."""
