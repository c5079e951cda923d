"""Training and evaluation of rerankers."""
