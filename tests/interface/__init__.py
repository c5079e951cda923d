"""Collects everything that a user touches, from outside: help output, a live server, the files of small runs.

`python -m tests.interface` adds to the pinned list what is new. No module of the product is imported
here, so that moving modules leaves this package as it is: entry points and packages come from pyproject.toml.
"""
