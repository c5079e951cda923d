"""The `limrank` command: one door to all programs, and the commands that work without a server of their own."""
