"""The audit: one HTML page on the contents of a run or a file of records, with examples for a person to read.

`auditing.write_audit` is the entry; tallies.py counts, charts.py draws, page.py lays out.
"""
