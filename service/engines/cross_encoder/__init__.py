"""The cross-encoder engine: one output for each query and passage, direct mode only."""
