"""Training data for rerankers, made with LLMs: LimRank-Synthesizer and corpus-grounded groups."""
