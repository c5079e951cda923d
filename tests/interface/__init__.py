"""Collects everything that a user touches, from outside: help output, a live server, the files of small runs.

`python -m tests.interface > tests/data/interface.json` renews the pinned list. No module of the product is imported
here, so that moving modules leaves this package as it is: entry points and packages come from pyproject.toml.
"""
