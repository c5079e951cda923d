"""Tests of modes that take several passes."""
