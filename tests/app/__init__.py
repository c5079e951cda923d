"""Tests of the `limrank` command."""
