"""The audit: one HTML page on what a run or a file of records holds, with examples to be read by a person.

`auditing.write_audit` is the entry; tallies.py counts, charts.py draws, page.py lays out.
"""
