"""Prompts of the synthesizer: templates, stages, and the check of traces."""
