"""The names of the filters, in the order in which they are asked."""

FILTERS = ("length", "language", "agreement", "coherence", "label-leak", "decontamination", "near-duplicate")
