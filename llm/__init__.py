"""Asks a language model behind an OpenAI-compatible endpoint: one call, its limits, and the reading of replies."""
