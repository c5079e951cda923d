"""The names of the filters, in their order."""

FILTERS = ("length", "language", "agreement", "coherence", "label-leak", "decontamination", "near-duplicate")
