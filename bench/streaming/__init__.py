"""The cost of streaming an answer."""
