"""The `limrank` command: runs all programs, and adds commands that need no running server."""
