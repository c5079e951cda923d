"""Imports of existing labelled data, and hard negatives mined from it.

An unusable row never stops the others: it is written unchanged to `OUT.rejected.jsonl` with its file, its number and
the reason. Import from the modules, because the bi-encoder takes seconds to load.
"""
