"""Measures a reranker: `limrank-eval`. Scores come from a scorer (HTTP, a run file, an encoder); results are files."""
