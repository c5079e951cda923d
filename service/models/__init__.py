"""Finds a checkpoint by name, checks it, and prepares the embedded ones."""
