"""What the transformers engine runs, for those who ask without loading torch."""

from __future__ import annotations

# Model types in which every layer attends to all earlier tokens and the last layer is a plain linear head.
ARCHITECTURES = ("gemma", "llama", "mistral", "qwen2", "qwen3")
