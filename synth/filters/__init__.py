"""Automated verification in place of people: filters that each look at one record and say why it should go, or nothing.

`filter.Filter` is the agreement, `chain.build_filters` makes the filters of a `FilterSettings`, in the order in which
they are asked: the cheap ones first, the near-duplicate filter last, so that a copy of a dropped record is not dropped.
"""
