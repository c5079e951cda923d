"""limrank-mini's training records: direct ones, and ones whose reasoning quotes the passage's closest sentence.

`python -m recipes.limrank_mini.evidence GENERAL OUT --groups FILE ...` turns the groups of
`recipes.limrank_mini.general`, their labels and the evidence sentences of the data into records of both modes. A trace
says nothing that a person cannot check against the query and the passage.
"""
