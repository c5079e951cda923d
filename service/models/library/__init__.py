"""Reads what the files of Sentence Transformers say of the prompt of a reranker."""
