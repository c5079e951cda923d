"""Distillation of a bi-encoder: queries made of a corpus' own words, with verdicts drawn from its similarities.

A reranker trained on one kind of question judges others by the same narrow rule. A bi-encoder's general notion of how
near a query and a passage are is added to its data as records without a trace.
"""
