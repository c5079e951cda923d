"""Prompts of the synthesizer: templates, stages and what a trace may hold."""
