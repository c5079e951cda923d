"""The command-line programs: data synthesis, tuning, batch scoring."""
