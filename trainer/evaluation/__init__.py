"""How a reranker is measured: what is scored, what is kept, and what the figures can bear."""
