"""Automatic verification: each filter looks at one record and returns a reason to drop it, or None.

`filter.Filter` is the protocol. `chain.build_filters` builds the filters of a `FilterSettings` in the order in which
they run: cheap ones first, the near-duplicate filter last, so that a copy of a dropped record is not dropped as a
duplicate.
"""
