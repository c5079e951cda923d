"""The commands of `limrank-eval`, one file each with its settings and `run`."""
