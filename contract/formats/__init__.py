"""Prompt formats as data: the known formats by name, and the reading of formats from manifests and files."""
