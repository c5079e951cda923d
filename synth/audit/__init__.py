"""The audit: one HTML page on the contents of a run or a file of records, with examples for a person to read.

`audit.write_audit` is the entry point; tallies.py counts, charts.py draws, page.py lays out.
"""
