"""Measures rerankers: `limrank-eval`. A scorer (HTTP, a run file, an encoder) returns scores; results are files."""
