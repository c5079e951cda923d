"""LimRank-Synthesizer (arXiv 2510.23544): persona-guided queries, typed passages, blind judgements."""
