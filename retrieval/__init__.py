"""Ranking data and first stages, for synth and evaluation: BEIR and TREC files, BM25, bi-encoders."""
