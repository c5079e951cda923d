"""An encoder with one output, from groups, by localized contrastive estimation (LCE)."""
