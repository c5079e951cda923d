"""The attention that a run computes with changes how fast it is, not what it computes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from trainer.run.attention import set_attention
from trainer.sft.lora import load_base


@pytest.mark.skipif(torch.cuda.is_available(), reason="on a GPU the format does not matter")
def test_bfloat16_on_a_cpu_takes_the_plain_attention_and_gives_the_same_logits(tiny_llama: Path) -> None:
    fused, plain, untouched = load_base(tiny_llama), load_base(tiny_llama), load_base(tiny_llama)
    set_attention(plain, "bfloat16", padded_in_front=False)
    set_attention(untouched, "float32", padded_in_front=True)
    assert plain.config._attn_implementation == "eager"
    assert untouched.config._attn_implementation == fused.config._attn_implementation == "sdpa"
    ids = torch.arange(40).view(2, 20)
    mask = torch.ones_like(ids)
    mask[1, 12:] = 0
    with torch.inference_mode():
        one, two = (model(input_ids=ids, attention_mask=mask).logits for model in (fused, plain))
    kept = mask.bool()
    assert torch.allclose(one[kept], two[kept], atol=1e-4)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_on_a_gpu_what_is_padded_in_front_takes_the_plain_attention(
    tiny_llama: Path, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    in_front, behind = load_base(tiny_llama), load_base(tiny_llama)
    set_attention(in_front, precision, padded_in_front=True)
    set_attention(behind, precision, padded_in_front=False)
    assert in_front.config._attn_implementation == "eager"
    assert behind.config._attn_implementation == "sdpa"
