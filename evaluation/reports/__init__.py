"""Results as tables, plots and JSON."""
