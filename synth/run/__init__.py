"""A run folder: plan, journal, progress, and the journalled calls."""
