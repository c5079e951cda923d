"""Imports of existing labelled data, and hard negatives mined from it.

A row that cannot be used never stops the others: it is written unchanged to `OUT.rejected.jsonl` with its file,
its number and the reason. Import from the modules: the
bi-encoder takes seconds to load.
"""
