"""Another architecture and a tokenizer that fuses: Qwen2's, with small random weights and Qwen2.5's real tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from contract.reasoning import Status
from service.engines.dtype import computes_bfloat16, resolve_dtype
from service.engines.transformers.engine import EngineOptions, TransformersEngine
from service.engines.transformers.model import ModelRunner, load_model
from service.errors import ModelStoreError
from service.ranking import Mode
from tests.seam import Job, score
from tests.service.engines.plain_forward import PlainForward, segments_of
from tests.service.engines.transformers.test_engine_traces import Scripted
from tests.tokenizers import qwen_tokenizer

TOLERANCE = 1e-3
PASSAGES = ("Ice flows.", "", "Der Föhn ist ein warmer Fallwind.", "Is it?\n", "Snow " * 40)
END_OF_TEXT = 151643


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with biases on q, k and v, four query heads for each of two key heads, and an untied head."""
    folder = tmp_path_factory.mktemp("qwen")
    torch.manual_seed(3)
    config = Qwen2Config(
        vocab_size=151936,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=3,
        num_attention_heads=8,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.3,
        tie_word_embeddings=False,
        eos_token_id=END_OF_TEXT,
    )
    model: Any = Qwen2ForCausalLM(config)  # type: ignore[no-untyped-call]
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.5)
    model.save_pretrained(folder)
    qwen_tokenizer().save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module")
def plain(folder: Path) -> PlainForward:
    return PlainForward(folder, segments_of(folder))


async def test_direct_verdicts_equal_the_plain_forward_pass(folder: Path, plain: PlainForward) -> None:
    options = EngineOptions(threads=2, batch_tokens=40)
    engine = TransformersEngine(load_model(folder, "float32"), plain.segments, options)
    verdicts = await score(engine, Job("call", "what moves ice", PASSAGES))
    await engine.close()
    for verdict, passage in zip(verdicts, PASSAGES, strict=True):
        assert verdict.log_odds == pytest.approx(plain.direct("what moves ice", passage), abs=TOLERANCE)
    assert len({round(verdict.log_odds, 2) for verdict in verdicts}) == len(PASSAGES)


@pytest.mark.parametrize("ending", ["relevant.", "relevant?", "relevant\n", "relevant", ""])
@pytest.mark.parametrize("after", ["", "\n"])
async def test_a_close_that_the_model_wrote_is_kept_fused_or_not(
    folder: Path, plain: PlainForward, ending: str, after: str
) -> None:
    """`.</`, `?</` and `>\\n` are single tokens here: the ids of the close are not the canonical ones."""
    tokenizer = plain.segments.tokenizer
    fused: list[int] = tokenizer.encode(f"It is {ending}</think>{after}", add_special_tokens=False).ids
    scripts = {index: [*fused, END_OF_TEXT] for index in range(len(PASSAGES))}
    options = EngineOptions(threads=2, choose=Scripted(scripts))
    engine = TransformersEngine(load_model(folder, "float32"), plain.segments, options)
    verdicts = await score(engine, Job("call", "what moves ice", PASSAGES), Mode.REASONING, 50)
    await engine.close()
    closed = plain.segments.find_close(fused)
    assert closed is not None
    for verdict, passage in zip(verdicts, PASSAGES, strict=True):
        assert (verdict.status, verdict.reasoning) == (Status.COMPLETE, f"It is {ending}")
        context = [*plain.segments.prompt_ids("what moves ice", passage), *closed.ids]
        assert verdict.log_odds == pytest.approx(plain.log_odds(context), abs=TOLERANCE)


def test_a_fused_close_has_other_ids_than_ours(plain: PlainForward) -> None:
    fused = plain.segments.tokenizer.encode("It is relevant.</think>", add_special_tokens=False).ids
    apart = plain.segments.context(plain.segments.trace_ids("It is relevant."))
    assert fused != apart, "else the test above would prove nothing"


async def test_a_trace_without_a_close_gets_the_canonical_one(folder: Path, plain: PlainForward) -> None:
    written = plain.segments.trace_ids("It is relevant.")
    options = EngineOptions(threads=2, choose=Scripted({0: [*written, END_OF_TEXT]}))
    engine = TransformersEngine(load_model(folder, "float32"), plain.segments, options)
    (verdict,) = await score(engine, Job("call", "what moves ice", PASSAGES[:1]), Mode.REASONING, 50)
    await engine.close()
    assert (verdict.status, verdict.reasoning) == (Status.END_OF_TEXT, "It is relevant.")
    context = [*plain.segments.prompt_ids("what moves ice", PASSAGES[0]), *written, *plain.segments.close]
    assert verdict.log_odds == pytest.approx(plain.log_odds(context), abs=TOLERANCE)


def test_auto_takes_bfloat16_only_where_it_is_stored_and_computed(folder: Path, tmp_path: Path) -> None:
    assert resolve_dtype("auto", folder) is torch.float32
    assert resolve_dtype("bfloat16", folder) is torch.bfloat16
    config = Qwen2Config.from_pretrained(folder)
    config.dtype = torch.bfloat16
    config.save_pretrained(tmp_path)
    assert resolve_dtype("auto", tmp_path) is (torch.bfloat16 if computes_bfloat16() else torch.float32)


async def test_bfloat16_is_near_float32(folder: Path, plain: PlainForward) -> None:
    engine = TransformersEngine(load_model(folder, "bfloat16"), plain.segments, EngineOptions(threads=2))
    traced = await score(engine, Job("call", "what moves ice", PASSAGES), Mode.REASONING, 3)
    direct = await score(engine, Job("call", "what moves ice", PASSAGES))
    await engine.close()
    assert engine.capabilities.dtype == "bfloat16"
    assert len(traced) == len(PASSAGES)
    for verdict, passage in zip(direct, PASSAGES, strict=True):
        assert verdict.log_odds == pytest.approx(plain.direct("what moves ice", passage), abs=1.0)


def refused(model_class: Any, config: Any) -> str:
    """The sentence with which the engine refuses a model of random weights."""
    with pytest.raises(ModelStoreError) as error:
        ModelRunner(model_class(config))
    return str(error.value)


def test_a_model_that_would_score_wrongly_is_refused() -> None:
    small: dict[str, Any] = {"vocab_size": 64, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    gpt2 = GPT2Config(vocab_size=64, n_embd=8, n_layer=1, n_head=2)
    assert "not 'gpt2'" in refused(GPT2LMHeadModel, gpt2)
    assert "sliding-window" in refused(
        MistralForCausalLM, MistralConfig(**small, num_key_value_heads=2, sliding_window=16)
    )
    windowed = Qwen2Config(
        **small, num_key_value_heads=2, use_sliding_window=True, sliding_window=16, max_window_layers=0
    )
    assert "sliding-window" in refused(Qwen2ForCausalLM, windowed)
    scaled = LlamaConfig(**small, rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0})
    assert "rotary scaling 'dynamic'" in refused(LlamaForCausalLM, scaled)
