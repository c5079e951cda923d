"""A run folder and the training loop: sessions, checkpoints, the order of examples, dev scores, reports."""
