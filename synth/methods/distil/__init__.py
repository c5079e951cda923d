"""Distillation of a bi-encoder: queries from a corpus' own words, with verdicts drawn from its similarities.

A reranker trained on one kind of question applies the same narrow rule to others. This method adds a bi-encoder's
general notion of similarity to its data, as records without a trace.
"""
