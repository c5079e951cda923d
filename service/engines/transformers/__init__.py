"""The transformers engine: packed batches, a key/value cache with shared prefixes, greedy reasoning."""
