"""Prompt formats as data: what a checkpoint was trained on, the formats known by name, and those read from files."""
