"""Labelled data that already exists, turned into records: `rank1.import_rank1` and `beir_records.import_beir`.

A row that cannot be used is never lost and never stops the others: it is written, as it came, to `OUT.rejected.jsonl`
with its file, its number and a sentence that says what is wrong with it.
"""
