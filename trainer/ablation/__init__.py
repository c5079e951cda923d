"""The same training with one thing changed at a time: runs, a table and a plot."""
