"""Asks a language model: the endpoint, one call, its limits, and the reading of replies."""
