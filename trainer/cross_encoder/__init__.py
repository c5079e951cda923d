"""Trains an encoder with one output on groups, by localized contrastive estimation (LCE)."""
