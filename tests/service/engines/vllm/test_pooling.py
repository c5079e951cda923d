"""vLLM's pooling runner gives the scores of Sentence Transformers for sequence classifiers, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import CrossEncoder

from contract.pairs import PairEncoder
from service.engine import Completion, Scoring
from service.engines.cross_encoder.encoder import CrossEncoderPrompts
from service.engines.vllm.pooling import Pooled, PoolingInfo, VllmPoolingEngine
from service.errors import EngineDead, EngineFailed
from service.models.classifier import Classifier
from tests.seam import Job, as_they_come, score
from tests.service.engines.cross_encoder.tiny_classifiers import write_classifier
from tests.service.engines.vllm.serving import require_vllm, vllm_server
from tests.tokenizers import minilm_tokenizer

TOLERANCE = 1e-3
QUERY = "How is the flu treated?"
PASSAGES = ("Rest and fluids help.", "", "The first railway opened in 1825. " * 5, "query: x", "痛風 治療")
TEMPLATE = (
    "{% for message in messages if message.role in ('query', 'document') %}{{ message.role }}: {{ message.content }}\n"
    "{% endfor %}Relevant:"
)


def library(folder: Path) -> list[float]:
    model = CrossEncoder(str(folder), local_files_only=True, device="cpu")
    found = model.predict([(QUERY, passage) for passage in PASSAGES], activation_fn=torch.nn.Identity(), batch_size=1)
    return [float(each) for each in found]


@pytest.mark.parametrize("family", ["bert", "qwen2", "qwen3", "mistral"])
def test_a_classifier_on_vllm_scores_as_in_the_library(family: str, tmp_path: Path) -> None:
    """An encoder with token types, and decoders that are read at their last token; Qwen2's pairs are written by a
    template."""
    require_vllm()
    # vLLM's kernels for CPUs want heads of 32 or more.
    heads: dict[str, Any] = {"hidden_size": 64, "num_attention_heads": 2, "head_dim": 32}
    if family == "mistral":
        heads["sliding_window"] = None  # as from Mistral 7B v0.2 on
    folder = write_classifier(tmp_path / family, family, **heads)
    if family == "qwen2":
        (folder / "chat_template.jinja").write_text(TEMPLATE)
    arguments = ("--model", str(folder), "--max-model-len", "128")
    with vllm_server(tmp_path, *arguments) as running:
        answer = running.rerank({"query": QUERY, "texts": list(PASSAGES), "raw_scores": True})
        info = running.get("/info").json()
        refused = running.rerank({"query": QUERY, "documents": ["x"], "mode": "reasoning"})
    found = {each["index"]: each["score"] for each in answer.json()}
    assert found == pytest.approx(dict(enumerate(library(folder))), abs=TOLERANCE)
    assert (info["engine"]["name"], info["modes"]) == ("vllm", ["direct"])
    assert refused.status_code == 400


class ScriptedPooler:
    """Outputs are the lengths; a pair of more than 40 ids fails, and one that waits is freed when it is cancelled."""

    def __init__(self) -> None:
        self.dead = False
        self._waiting = 0
        self._changed = asyncio.Condition()
        self.hold = asyncio.Event()
        self.hold.set()
        self.seen: list[tuple[Sequence[int], int | None]] = []

    async def pool(self, name: str, ids: Sequence[int], second: int | None, priority: int) -> Pooled:
        self.seen.append((ids, second))
        await self._wait(1)
        try:
            await self.hold.wait()
        finally:
            await self._wait(-1)
        if self.dead:
            raise EngineDead("vLLM's engine process has ended.")
        if len(ids) > 40:
            raise RuntimeError("a number that is too large")
        return Pooled((0.5, float(len(ids))), 0)

    async def waits_for(self, count: int) -> None:
        """Until so many pairs wait."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._waiting == count)

    async def _wait(self, more: int) -> None:
        self._waiting += more
        async with self._changed:
            self._changed.notify_all()


@pytest.fixture
async def pooler() -> ScriptedPooler:
    return ScriptedPooler()


def engine_on(pooler: ScriptedPooler, *, reads_last: bool = False, pad: int | None = 0) -> VllmPoolingEngine:
    info = PoolingInfo(
        version="0",
        dtype="float32",
        device="cpu",
        step_tokens=256,
        max_requests=8,
        ranks=1,
        types=not reads_last,
        reads_last=reads_last,
        pad=pad,
        dead=lambda: pooler.dead,
        shutdown=lambda: None,
    )
    return VllmPoolingEngine(
        pooler,
        info,
        CrossEncoderPrompts(PairEncoder(minilm_tokenizer(), 64)),
        Classifier(labels=2, relevant=1),
        stuck_after=60,
    )


async def test_a_failing_pair_fails_alone_and_a_dead_engine_says_so(pooler: ScriptedPooler) -> None:
    engine = engine_on(pooler)
    assert engine.capabilities.scoring == {Scoring.DIRECT}
    found = await score(engine, Job(call="one", query="q", passages=("x", "x y")))
    assert [verdict.log_odds for verdict in found] == [4.5, 5.5]
    assert [second for _, second in pooler.seen] == [3, 3]
    seen: list[Completion] = []
    with pytest.raises(EngineFailed) as failed:
        await _collect(engine, Job("one", "q", ("good", "bad " * 50)), seen)
    assert (list(failed.value.indices), [each.index for each in seen]) == ([1], [0])
    pooler.dead = True
    assert not (await engine.health()).alive
    with pytest.raises(EngineDead):
        await score(engine, Job("one", "q", ("x",)))


async def _collect(engine: VllmPoolingEngine, job: Job, seen: list[Completion]) -> None:
    async with aclosing(as_they_come(engine, job)) as outputs:
        async for output in outputs:
            seen.append(output)


async def test_a_call_given_up_frees_vllm_and_closing_ends_the_rest(pooler: ScriptedPooler) -> None:
    engine = engine_on(pooler)
    pooler.hold.clear()
    calls = [asyncio.create_task(score(engine, Job(name, "q", ("x",) * 4))) for name in ("one", "two")]
    await pooler.waits_for(8)
    calls[0].cancel()
    with suppress(asyncio.CancelledError):
        await calls[0]
    await pooler.waits_for(4)
    await engine.close()
    with pytest.raises(EngineDead, match="closed"):
        await calls[1]


async def test_a_decoder_is_asked_up_to_the_token_that_is_read(pooler: ScriptedPooler) -> None:
    """[SEP] (102) ends every pair here; where it is the padding id too, the token before it is read."""
    await score(engine_on(pooler, reads_last=True, pad=102), Job("one", "q", ("x",)))
    await score(engine_on(pooler, reads_last=True, pad=None), Job("one", "q", ("x",)))
    assert [(list(ids)[-1] == 102, second) for ids, second in pooler.seen] == [(False, None), (True, None)]
