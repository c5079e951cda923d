"""Adaptive mode, measured: recorded traces, parameters fitted on them, and every policy replayed under every budget."""
