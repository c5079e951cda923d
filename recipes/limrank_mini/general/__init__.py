"""Training groups from general text: labelled queries with hard negatives, derived queries, and unlabelled lists.

`python -m recipes.limrank_mini.general DATA OUT --encoder FOLDER` writes one file of scored groups. Every passage of a
group has the cosine similarity computed by a bi-encoder (MiniLM). A cross-encoder is trained on labels and on these
similarities at once, so that it keeps what the bi-encoder knows.
"""
