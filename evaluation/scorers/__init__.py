"""What can score passages: the service, run files, and the baselines beside it."""
