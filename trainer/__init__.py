"""Trains rerankers from records and groups."""
