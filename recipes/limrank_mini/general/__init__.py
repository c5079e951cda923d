"""Training groups from general text: labelled queries with hard negatives, derived queries, and unlabelled lists.

`python -m recipes.limrank_mini.general DATA OUT --encoder FOLDER` writes one file of scored groups. Every passage of a
group carries the cosine that a bi-encoder (MiniLM) gives it, so that a cross-encoder can be trained on labels and on
the bi-encoder's similarities at once and keeps what the bi-encoder knows.
"""
