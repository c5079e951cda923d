"""Training files for four kinds of reranker from the same records; `exporting.export` is the entry.

sources.py      records and groups from run folders and files
statement.py    intent and instruction as one text
piles.py        records of one query together, on the disk
formats.py      pointwise, setwise, listwise and LCE rows
mix.py          so many of each source, drawn by a seed, in turn
about.py        what a file holds: rows, licences, sources, checksum
"""
