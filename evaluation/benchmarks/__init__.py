"""Benchmarks: where their data comes from, and how their rows become queries, passages and judgements."""
