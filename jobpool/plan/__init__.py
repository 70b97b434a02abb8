"""What to submit next, and what a task waits for: read from the pool, changing nothing."""
