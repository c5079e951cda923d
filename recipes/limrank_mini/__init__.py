"""The recipes of limrank-mini and limrank-mini-ce."""
