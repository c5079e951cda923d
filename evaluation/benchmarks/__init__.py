"""Benchmarks: the sources of their data, and the conversion of rows into queries, passages and judgements."""
