"""Choices that several programs offer under the same flag."""

from __future__ import annotations

from typing import Literal

EngineName = Literal["auto", "transformers", "vllm", "cross-encoder"]
"""The engine that runs a model (`service.engines.loading`)."""

ModeName = Literal["direct", "reasoning", "adaptive"]
"""How calls are ranked (`service.ranking.Mode`)."""

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
"""Number format of a model's weights. Each program documents what its `auto` means."""
