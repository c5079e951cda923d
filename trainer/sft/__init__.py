"""Trains LoRA on a causal model, from records: reasoning and verdict, loss on the completion only."""
