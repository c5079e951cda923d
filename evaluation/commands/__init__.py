"""The commands of `limrank-eval`, one file each: its settings, and `run`."""
