"""Labelled data that already exists, and hard negatives mined from it.

A row that cannot be used never stops the others: it is written, as it came, to `OUT.rejected.jsonl` with its file,
its number and a sentence that says what is wrong with it. Import from the modules: the
bi-encoder takes seconds to load.
"""
