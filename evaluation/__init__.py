"""Measures a reranker: `limrank-eval`. A scorer (HTTP, a run file, an encoder) gives scores; results are files."""
