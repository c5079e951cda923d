"""`python -m recipes.limrank_mini measure`: one model in one mode, measured on everything that the models are to meet.

Each step journals its scores and writes its row of the table at once, so a stopped run resumes, and several runs into
one folder (the cross-encoder, both modes, the bi-encoder) become columns of one table.
"""
