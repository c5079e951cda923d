"""Shared by the command-line programs: synth, evaluation and the trainer."""
