"""In bfloat16 and float16 the last layer is computed in float32: texts that differ get scores that differ."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, ElectraConfig, ModernBertConfig, Qwen2Config, RobertaConfig

from service.engine import Engine
from service.engines.cross_encoder.engine import CrossEncoderEngine
from service.engines.transformers.engine import TransformersEngine
from service.models.checkpoint import Checkpoint
from service.models.store import resolve
from tests.seam import Job, score
from tests.service.engines.cross_encoder.test_positions import SIZES, SPECIAL, write

NEAR = tuple(f"The patient {number} was given colchicine for gout." for number in range(100, 250))


def odds(engine: Engine, passages: tuple[str, ...] = NEAR) -> list[float]:
    async def ask() -> list[float]:
        try:
            return [verdict.log_odds for verdict in await score(engine, Job("one", "how is gout treated", passages))]
        finally:
            await engine.close()

    return asyncio.run(ask())


def check(engine: Engine, exact: Engine, passages: tuple[str, ...] = NEAR) -> None:
    found, expected = odds(engine, passages), odds(exact, passages)
    assert len(set(found)) == len(set(expected)) == len(passages)
    assert len(set(torch.tensor(found).to(torch.bfloat16).tolist())) < len(passages), (
        "the format itself would have tied them"
    )
    assert max(abs(one - other) for one, other in zip(found, expected, strict=True)) < 1.0


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_the_packaged_cross_encoder_does_not_tie(dtype: str, tmp_path: Path) -> None:
    shipped = resolve("limrank-mini-ce", cache_dir=tmp_path)
    check(CrossEncoderEngine.load(shipped, dtype=dtype), CrossEncoderEngine.load(shipped, dtype="float32"))


@pytest.mark.parametrize(
    "config",
    [
        BertConfig(**SIZES),
        RobertaConfig(**SIZES | {"pad_token_id": 1}),
        ElectraConfig(**SIZES | {"embedding_size": 32}),
        ModernBertConfig(**SIZES | SPECIAL),
        Qwen2Config(**SIZES | {"num_key_value_heads": 2, "pad_token_id": 0}),
    ],
    ids=lambda config: config.model_type,
)
def test_heads_of_all_kinds_are_computed_in_float32(config: Any, tmp_path: Path) -> None:
    engine = CrossEncoderEngine.load(write(tmp_path, config), dtype="bfloat16")
    assert engine.capabilities.dtype == "bfloat16"
    values = torch.tensor(odds(engine))
    assert not torch.equal(values, values.to(torch.bfloat16).float())


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_causal_model_does_not_tie(dtype: str, embedded_checkpoint: Checkpoint) -> None:
    check(
        TransformersEngine.load(embedded_checkpoint, dtype=dtype),
        TransformersEngine.load(embedded_checkpoint, dtype="float32"),
        NEAR[:16],
    )
