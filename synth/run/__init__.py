"""A run folder: plan, journal, progress, and the calls that are journalled."""
