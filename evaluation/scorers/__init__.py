"""Scorers of passages: the service, run files, and baselines."""
