"""Rerankers that read several passages at once: rows of training files, the prompt, and what a model folder states.

rows.py    lines of `limrank synth export --format setwise` and `listwise`
prompt.py  the one prompt of both kinds, for training and for scoring
model.py   list.json: the kind of a model, how many passages it reads and in how many tokens
"""
