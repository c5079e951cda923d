"""Queries: the user's own, those made of the documents, and those that a language model writes."""
