"""Training files for four kinds of reranker from the same records; `export.export` is the entry point.

sources.py        records and groups from run folders and files
statement.py      intent and instruction as one text
query_groups.py   brings the records of one query together, on disk
answers.py        passages that must not be negatives, because they answer
formats.py        pointwise, setwise, listwise and LCE rows
reader.py         one source as rows of one format
mix.py            draws a number of rows from each source and interleaves them
"""
