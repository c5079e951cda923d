"""Bodies with several queries: batches of rankings, and decisions."""
