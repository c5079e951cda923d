"""Engines on a device: chosen by name, every tensor on it, and on a GPU the scores of the CPU."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

from contract.checkpoint.model_config import SIMILARITY_BERT
from service.engines.cross_encoder import packing
from service.engines.cross_encoder.engine import CrossEncoderEngine
from service.engines.cross_encoder.model import CrossEncoderModel, Pair
from service.engines.device import resolve_device
from service.engines.dtype import resolve_dtype
from service.engines.loading import build_engine
from service.engines.transformers import attention
from service.engines.transformers.attention import Chunk
from service.engines.transformers.engine import TransformersEngine
from service.engines.transformers.kv_cache import DecodeCache, KVCache
from service.engines.transformers.model import ModelRunner
from service.errors import EngineOptionError
from service.models.checkpoint import Checkpoint, open_checkpoint
from service.models.classifier import Classifier
from service.models.store import resolve
from service.settings import Settings
from tests.seam import Job, score
from tests.service.engines.cross_encoder.tiny_classifiers import write_classifier

ELSEWHERE = torch.device("meta")
CLASSIFIERS: Any = AutoModelForSequenceClassification
CAUSAL: Any = AutoModelForCausalLM
NO_GPU = not torch.cuda.is_available()
PAIRS = (Pair([5, 6, 7, 8], 2), Pair([5, 6, 7, 8], 2), Pair([9, 10], 1))


@pytest.fixture(scope="module")
def tiny_causal(tiny_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return resolve("smollm2-135m-instruct", gguf=tiny_gguf, cache_dir=tmp_path_factory.mktemp("cache"))


@pytest.mark.skipif(not NO_GPU, reason="there is a GPU")
def test_a_device_that_is_not_there_is_refused_in_a_sentence(tmp_path: Path, tiny_causal: Checkpoint) -> None:
    folder = write_classifier(tmp_path / "bert", "bert")
    for checkpoint in (open_checkpoint(folder, "bert"), tiny_causal):
        with pytest.raises(EngineOptionError, match="--device cuda: torch sees no GPU here; install its CUDA build"):
            build_engine(Settings(device="cuda"), checkpoint)
        with pytest.raises(EngineOptionError, match="--device mps: torch sees no Apple GPU here"):
            build_engine(Settings(device="mps"), checkpoint)
        for device in ("auto", "cpu"):
            engine = build_engine(Settings.model_validate({"device": device}), checkpoint)
            assert engine.capabilities.device == "cpu"
            asyncio.run(engine.close())
    assert resolve_device("auto") == torch.device("cpu")


def test_on_a_gpu_weights_stay_in_the_format_they_are_stored_in(tmp_path: Path) -> None:
    for stored in ("float32", "bfloat16", "float16"):
        folder = write_classifier(tmp_path / stored, "bert", dtype=stored)
        assert resolve_dtype("auto", folder, torch.device("cuda")) == getattr(torch, stored)
        assert resolve_dtype("float16", folder, torch.device("cuda")) == torch.float16


class OneDevice(TorchDispatchMode):  # type: ignore[no-untyped-call]  # it comes untyped
    """Fails where an operation gets tensors of two devices, but for copies, indices and single numbers, which may."""

    _MAY = ("aten._to_copy", "aten.copy_", "aten.index.")

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor) and each.dim()]
        devices = {each.device.type for each in tensors}
        assert len(devices) < 2 or str(func).startswith(self._MAY), f"{func} is on {sorted(devices)}"
        if str(func).startswith("aten._local_scalar_dense") and args[0].is_meta:
            return False  # a tensor without numbers is asked whether a mask can be left out: it cannot
        return func(*args, **(kwargs or {}))


one_device: Any = OneDevice


def test_a_tensor_that_was_left_behind_is_noticed() -> None:
    with one_device(), pytest.raises(AssertionError, match=r"is on \['cpu', 'meta'\]"):
        torch.nn.functional.embedding(torch.ones(2, dtype=torch.long), torch.ones(3, 4, device="meta"))


@pytest.mark.parametrize("family", ["bert", "modernbert", "qwen2"])
def test_every_tensor_of_a_batch_is_on_the_device(family: str, tmp_path: Path) -> None:
    """Packed with token types, padded, and a decoder's; on the device of tensors without numbers."""
    config = AutoConfig.from_pretrained(write_classifier(tmp_path / family, family))
    packing.register()
    packed = {"attn_implementation": packing.IMPLEMENTATION} if packing.packs(config) else {}
    with ELSEWHERE:
        network = CLASSIFIERS.from_config(config, **packed)
    model = CrossEncoderModel(network.eval().requires_grad_(False), Classifier())
    assert model.packed == (family != "modernbert")
    with one_device():
        outputs = (model._packed if model.packed else model._padded)(PAIRS)
    assert (outputs.device, tuple(outputs.shape)) == (ELSEWHERE, (3, 1))


def test_every_tensor_of_the_transformers_engine_is_on_the_device(
    tiny_causal: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = AutoConfig.from_pretrained(tiny_causal.folder)
    attention.register()
    with ELSEWHERE:
        network = CAUSAL.from_config(config, attn_implementation=attention.IMPLEMENTATION)
    runner = ModelRunner(network.eval().requires_grad_(False))
    cache, prefix = DecodeCache(runner.shape), KVCache(runner.shape)
    with one_device():
        runner.prefill([Chunk(prefix, [1, 2, 3], keep=True)], cache)
        row = cache.add(8)
        hidden = runner.prefill([Chunk(prefix, [4, 5], row=row), Chunk(prefix, [6])], cache)
    assert {each.device for each in (hidden, cache.keys, prefix.keys)} == {ELSEWHERE}
    plans: list[Any] = []
    monkeypatch.setattr(runner, "_run", lambda ids, plan: plans.append(plan))  # how many rows it reads are numbers
    runner.decode([7], [prefix], cache)
    parts = [*vars(plans[0]).values(), *vars(plans[0]._bands[0]).values()]
    assert {part.device for part in parts if isinstance(part, torch.Tensor)} == {ELSEWHERE}


ON_A_GPU = ("bert", SIMILARITY_BERT, "xlm-roberta", "modernbert", "deberta-v2", "qwen2", "qwen3", "gemma")
DTYPES = ("float32", "bfloat16", "float16")
TEXTS = ("rest", "the railway opened in 1825 " * 6, "", "fluids and rest " * 3)


def near(found: list[float], expected: list[float], dtype: str) -> None:
    margin = 5e-3 if dtype == "float32" else 0.05 * (1 + max(map(abs, expected)))
    assert found == pytest.approx(expected, abs=margin), dtype


@pytest.mark.gpu
@pytest.mark.skipif(NO_GPU, reason="there is no GPU")
@pytest.mark.parametrize("family", ON_A_GPU)
async def test_a_gpu_scores_as_the_cpu_does(family: str, tmp_path: Path) -> None:
    """In float32, and in both short formats, in which packed batches go through variable-length attention."""
    checkpoint = open_checkpoint(write_classifier(tmp_path / family, family), family)
    job, found = Job("one", "how is the flu treated", TEXTS), {}
    for device, dtype in (("cpu", "float32"), *(("cuda", dtype) for dtype in DTYPES)):
        engine = CrossEncoderEngine.load(checkpoint, dtype=dtype, device=torch.device(device))
        assert (engine.capabilities.device, engine.capabilities.dtype) == (device, dtype)
        found[device, dtype] = [verdict.log_odds for verdict in await score(engine, job)]
        await engine.close()
    for dtype in DTYPES:
        near(found["cuda", dtype], found["cpu", "float32"], dtype)


@pytest.mark.gpu
@pytest.mark.skipif(NO_GPU, reason="there is no GPU")
async def test_the_transformers_engine_on_a_gpu_scores_as_on_the_cpu(embedded_checkpoint: Checkpoint) -> None:
    job, found = Job("one", "how is the flu treated", TEXTS), {}
    for device, dtype in (("cpu", "float32"), *(("cuda", dtype) for dtype in DTYPES)):
        engine = TransformersEngine.load(embedded_checkpoint, dtype=dtype, device=torch.device(device))
        assert (engine.capabilities.device, engine.capabilities.dtype) == (device, dtype)
        found[device, dtype] = [verdict.log_odds for verdict in await score(engine, job)]
        await engine.close()
    for dtype in DTYPES:
        near(found["cuda", dtype], found["cpu", "float32"], dtype)


@pytest.mark.gpu
@pytest.mark.skipif(NO_GPU, reason="there is no GPU")
def test_what_is_chosen_where_there_is_a_gpu(
    tmp_path: Path, tiny_causal: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cross-encoder computes on it in its own engine and never in vLLM; the transformers engine only where told."""
    monkeypatch.setattr("service.engines.loading.find_spec", lambda name: None if name == "vllm" else object())
    classifier = open_checkpoint(write_classifier(tmp_path / "bert", "bert"), "bert")
    chosen = {}
    for name, checkpoint in (("classifier", classifier), ("causal", tiny_causal)):
        for device in ("auto", "cuda", "cpu"):
            engine = build_engine(Settings.model_validate({"device": device}), checkpoint)
            chosen[name, device] = (engine.capabilities.engine, engine.capabilities.device)
            asyncio.run(engine.close())
    assert chosen == {
        ("classifier", "auto"): ("cross-encoder", "cuda"),
        ("classifier", "cuda"): ("cross-encoder", "cuda"),
        ("classifier", "cpu"): ("cross-encoder", "cpu"),
        ("causal", "auto"): ("transformers", "cpu"),
        ("causal", "cuda"): ("transformers", "cuda"),
        ("causal", "cpu"): ("transformers", "cpu"),
    }
