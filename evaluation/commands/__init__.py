"""The commands of `limrank-eval`, one file each: settings, and the act."""
