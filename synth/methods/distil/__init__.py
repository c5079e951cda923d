"""Distillation of a bi-encoder: queries made of a corpus' own words, with verdicts drawn from its similarities.

A reranker that has only seen one kind of question judges others by the same narrow rule. What a bi-encoder knows of how
near a query and a passage are in general is put beside it as records without a trace.
"""
