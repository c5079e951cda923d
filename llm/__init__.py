"""A client for language models behind OpenAI-compatible endpoints: one call, its limits, and the parsing of replies."""
