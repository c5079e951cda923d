"""The cross-encoder: plain scores whatever else is in the batch, direct mode only; embedded weights."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, BertConfig, BertForSequenceClassification

from contract.formats.named import NAMED_FORMATS
from contract.verdict import Temperatures
from service.api.app import create_app
from service.engine import Completion, Scoring
from service.engines.cross_encoder.engine import CrossEncoderEngine, _Waiting, next_batch
from service.engines.cross_encoder.model import Pair
from service.engines.loading import build_engine, build_first_stage
from service.engines.submission import Submission
from service.errors import (
    EngineDead,
    EngineFailed,
    EngineOptionError,
    FixedPartsTooLong,
    ModelStoreError,
    PassageTooLong,
)
from service.models.checkpoint import Checkpoint, open_checkpoint
from service.models.embedded_cross_encoder import ENCODER_FILE
from service.models.store import resolve
from service.ranking import Verdict
from service.scheduling.throughput import Throughput
from service.scheduling.window import Window
from service.scheduling.work import Work
from service.settings import Settings
from tests.processes import ROOT
from tests.seam import Job, as_they_come, work_of
from tests.seam import score as score_raw
from tests.service.engines.cross_encoder.tiny_classifiers import write_checkpoint
from tests.service.serving import serving, wait_until
from tests.tokenizers import minilm_folder, minilm_tokenizer
from tests.waiting import turns

TOLERANCE = 1e-4
PASSAGES = ("Rest and fluids help.", "", "The first railway opened in 1825. " * 9, "[SEP] true [CLS]", "x", "short one")


def write_model(folder: Path, config: BertConfig, temperature: float = 2.0) -> Path:
    torch.manual_seed(4)
    model: Any = BertForSequenceClassification(config)  # type: ignore[no-untyped-call]
    return write_checkpoint(folder, model, temperature)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    config = BertConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=128,
        initializer_range=0.5,
    )
    config.num_labels = 1
    return open_checkpoint(write_model(tmp_path_factory.mktemp("model"), config), "tiny-ce")


@pytest.fixture
async def engine(checkpoint: Checkpoint) -> AsyncIterator[CrossEncoderEngine]:
    engine = CrossEncoderEngine.load(checkpoint, threads=2)
    yield engine
    await engine.close()


async def score(engine: CrossEncoderEngine, job: Job) -> list[Verdict]:
    """Verdicts as the service makes them of this checkpoint, whose temperature is 2."""
    return await score_raw(engine, job, temperatures=Temperatures(direct=2.0))


def plain(folder: Path, query: str, passage: str) -> float:
    """The tokenizer's own frame and transformers' model, one pair alone, special strings broken up by hand."""
    text = passage.replace("[SEP]", "[ SEP ]").replace("[CLS]", "[ CLS ]")
    encoded = minilm_tokenizer().encode(query, text)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        output = model(input_ids=torch.tensor([encoded.ids]), token_type_ids=torch.tensor([encoded.type_ids]))
    return float(output.logits.item()) / 2.0


async def test_interleaved_calls_score_as_one_pair_at_a_time(
    engine: CrossEncoderEngine, checkpoint: Checkpoint
) -> None:
    queries = ("How is the flu treated?", "when did the first railway open", "?")
    answers = await asyncio.gather(
        *(score(engine, Job(call=query, query=query, passages=PASSAGES)) for query in queries)
    )
    odds = []
    for query, verdicts in zip(queries, answers, strict=True):
        assert [verdict.index for verdict in verdicts] == list(range(len(PASSAGES)))
        for verdict, passage in zip(verdicts, PASSAGES, strict=True):
            assert verdict.log_odds == pytest.approx(plain(checkpoint.folder, query, passage), abs=TOLERANCE)
            odds.append(verdict.log_odds)
    assert max(odds) - min(odds) > 100 * TOLERANCE


async def test_cuts_are_reported_or_refused(engine: CrossEncoderEngine) -> None:
    job = Job(call="one", query="q", passages=("fits", "too long " * 200), instruction="all count")
    verdicts = await score(engine, job)
    assert [verdict.truncated for verdict in verdicts] == [False, True]
    assert verdicts[1].prompt_tokens == 128
    with pytest.raises(PassageTooLong) as refused:
        await score(engine, Job(call="one", query="q", passages=job.passages, truncate=False, passage_tokens=50))
    assert (refused.value.index, refused.value.limit) == (1, 50)
    for query in ("word " * 200, "x" * 1_000_000):
        with pytest.raises(FixedPartsTooLong, match="shorten"):
            await score(engine, Job(call="one", query=query, passages=("p",)))


async def test_urgent_calls_go_first_and_a_call_given_up_frees_the_engine(engine: CrossEncoderEngine) -> None:
    order: list[str] = []
    window = Window(engine, engine.capabilities.window, Throughput())

    async def encoded(name: str, priority: int, count: int) -> Work:
        passages = ("a passage " * 50,) * count
        return await work_of(engine, Job(call=name, query=name, passages=passages, priority=priority))

    async def ask(work: Work) -> None:
        await window.run(work)
        order.append(work.call)

    works = [await encoded(*call) for call in (("given up", 1, 2048), ("last", 2, 512), ("first", 0, 64))]
    given_up, *calls = [asyncio.create_task(ask(work)) for work in works]
    await turns()
    assert window.running
    given_up.cancel()
    await asyncio.gather(*calls)
    assert order == ["first", "last"]
    assert (window.running, window.queued) == (0, 0)


async def test_the_batch_of_what_waits_longest_is_next(engine: CrossEncoderEngine) -> None:
    """Whatever else came meanwhile, and however long it is."""
    widths: list[tuple[int, int]] = []

    def note(_: object, args: object, kwargs: dict[str, torch.Tensor]) -> None:
        widths.append(tuple(kwargs["input_ids"].shape))  # type: ignore[arg-type]

    hook = engine._model._model.base_model.register_forward_pre_hook(note, with_kwargs=True)
    short, long = Job("short", "q", ("x",) * 40), Job("long", "q", ("a passage " * 60,) * 40)
    answers = await asyncio.gather(score(engine, long), score(engine, short))
    hook.remove()
    assert [len(verdicts) for verdicts in answers] == [40, 40]
    assert all(rows * width <= 4096 for rows, width in widths)
    computed = sum(rows * width for rows, width in widths)
    assert computed == sum(verdict.prompt_tokens for verdicts in answers for verdict in verdicts), "no padding"


def waiting(*lengths: Sequence[int]) -> list[_Waiting]:
    """Pairs of so many tokens, those of each submission together."""
    return [
        _Waiting(submission, index, Pair([0] * length, 1))
        for submission, of_one in ((Submission(len(each)), each) for each in lengths)
        for index, length in enumerate(of_one)
    ]


@pytest.mark.parametrize(
    ("lengths", "batch"),
    [
        ([[600]], [600]),
        ([[100] * 7], [100] * 7),  # those left would make a batch of their own
        ([[100] * 8], [100] * 5),
        ([[26, 26], [46] * 10], [26, 26, *[46] * 10]),
        ([[300], [50] * 9, [1]], [*[50] * 9, 300]),
        ([[300], [50] * 10, [1]], [50, 50, 50, 50, 300]),
        ([[200, 10, 300], [5]], [5, 10, 200, 300][1:]),
    ],
)
async def test_without_padding_a_batch_is_of_what_came_first(lengths: list[list[int]], batch: list[int]) -> None:
    """And of the rest of its last submission, where that is half a batch at most."""
    found = next_batch(waiting(*lengths), 512, packed=True)
    assert [len(each.pair.ids) for each in found] == batch


async def test_with_padding_a_batch_is_of_like_lengths() -> None:
    """That of the pair which has waited longest."""
    found = next_batch(waiting([10] * 3, [200, 12, 190, 11]), 512, packed=False)
    assert [len(each.pair.ids) for each in found] == [10, 10, 10, 11, 12]
    assert [len(each.pair.ids) for each in next_batch(waiting([200], [10] * 3, [190]), 512, packed=False)] == [190, 200]


async def test_a_failing_batch_fails_alone_and_a_closed_engine_says_so(checkpoint: Checkpoint) -> None:
    engine = CrossEncoderEngine.load(checkpoint)
    seen: list[Completion] = []
    job = Job(call="one", query="q", passages=("bad " * 110,) * 40 + ("good",) * 200)
    hurt = engine._model._model.base_model.register_forward_pre_hook(_fail_on_long, with_kwargs=True)
    with pytest.raises(EngineFailed) as failed:
        await _collect(engine, job, seen)
    hurt.remove()
    assert sorted([*failed.value.indices, *(each.index for each in seen)]) == list(range(240))
    assert set(failed.value.indices) >= set(range(40))
    assert len(seen) > 200 - engine._batch_tokens // 4, "but for those in a batch with the last bad ones"
    await engine.close()
    assert not (await engine.health()).ready
    with pytest.raises(EngineDead, match="has been stopped"):
        await score(engine, job)


async def _collect(engine: CrossEncoderEngine, job: Job, seen: list[Completion]) -> None:
    async with aclosing(as_they_come(engine, job)) as found:
        async for completion in found:
            seen.append(completion)


def _fail_on_long(_: object, args: object, kwargs: dict[str, torch.Tensor]) -> None:
    if kwargs["position_ids"].max() > 100:
        raise RuntimeError("a number that is too large")


def test_reasoning_is_a_clear_400_over_http(checkpoint: Checkpoint) -> None:
    composition = create_app(Settings(), CrossEncoderEngine.load(checkpoint), checkpoint)
    body = {"query": "How is the flu treated?", "documents": list(PASSAGES)}
    with serving(composition.app) as url:
        wait_until(lambda: httpx.get(f"{url}/health/ready").status_code == 200)
        answer = httpx.post(f"{url}/rerank", json=body)
        refused = httpx.post(f"{url}/rerank", json=body | {"mode": "reasoning"})
    assert answer.status_code == 200
    assert len(answer.json()["results"]) == len(PASSAGES)
    assert refused.status_code == 400
    assert "mode 'reasoning' is not available with this model; it has direct" in refused.text


def test_embedded_weights_are_put_together_from_the_package_and_what_ships(tmp_path: Path) -> None:
    config = BertConfig.from_pretrained(minilm_folder(), num_labels=1)
    whole = write_model(tmp_path / "whole", config)
    base = load_file(minilm_folder() / "model.safetensors")
    tensors = load_file(whole / "model.safetensors")
    shipped = tmp_path / "weights" / "limrank-mini-ce"
    shipped.mkdir(parents=True)
    encoder = {name: tensor.half() for name, tensor in tensors.items() if ".embeddings." not in name}
    save_file(encoder, shipped / ENCODER_FILE)
    for name in ("config.json", "reranker.json"):
        shutil.copyfile(whole / name, shipped / name)
    assert (shipped / ENCODER_FILE).stat().st_size < 22_000_000
    found = resolve("limrank-mini-ce", weights=tmp_path / "weights", cache_dir=tmp_path / "cache")
    assert (found.name, found.manifest.kind) == ("limrank-mini-ce", "cross-encoder")
    made = load_file(found.folder / "model.safetensors")
    assert made.keys() == tensors.keys()
    for name, tensor in made.items():
        expected = base[name.removeprefix("bert.")] if ".embeddings." in name else tensors[name].half().float()
        assert torch.equal(tensor, expected), name
    (shipped / "config.json").unlink()
    with pytest.raises(ModelStoreError, match=r"has no config\.json; save it with limrank-train"):
        resolve("limrank-mini-ce", weights=tmp_path / "weights", cache_dir=tmp_path / "cache")


def test_what_ships_answers_the_readmes_curl_as_the_readme_says(tmp_path: Path) -> None:
    page = (ROOT / "README.md").read_text()
    body = json.loads(page.split("/rerank -d '")[1].split("'")[0])
    said = re.search(r"it answers ([\d.]+)\s+for the treatment .*?, ([\d.]+) for .*? and ([\d.]+) for", page, re.DOTALL)
    assert said is not None
    shipped = resolve("limrank-mini-ce", cache_dir=tmp_path)
    composition = create_app(Settings(), CrossEncoderEngine.load(shipped), shipped)
    with serving(composition.app) as url:
        wait_until(lambda: httpx.get(f"{url}/health/ready").status_code == 200)
        results = httpx.post(f"{url}/rerank", json=body).json()["results"]
    assert [result["index"] for result in results] == [1, 0, 2]
    assert [result["relevance_score"] for result in results] == pytest.approx(list(map(float, said.groups())), abs=1e-4)


def test_a_model_with_another_number_of_outputs_is_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    config = BertConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=4)
    config.num_labels = 3
    with pytest.raises(ModelStoreError, match="has 3 outputs, but a cross-encoder that reranks has one"):
        CrossEncoderEngine.load(open_checkpoint(write_model(tmp_path / "three", config), "three"))


def test_the_checkpoint_chooses_the_engine_and_another_one_is_refused(
    checkpoint: Checkpoint, embedded_checkpoint: Checkpoint
) -> None:
    for name in ("auto", "cross-encoder"):
        engine = build_engine(Settings.model_validate({"engine": name}), checkpoint)
        assert engine.capabilities.engine == "cross-encoder"
        assert engine.capabilities.scoring == {Scoring.DIRECT}
        asyncio.run(engine.close())
    with pytest.raises(ModelStoreError, match="tiny-ce is a cross-encoder, which the engine transformers cannot run"):
        build_engine(Settings(engine="transformers"), checkpoint)
    with pytest.raises(ModelStoreError, match="is a causal model and no cross-encoder"):
        build_engine(Settings(engine="cross-encoder"), embedded_checkpoint)


@pytest.mark.parametrize("mode", ["reasoning", "adaptive"])
def test_a_mode_that_the_model_does_not_have_ends_the_start(
    mode: str, checkpoint: Checkpoint, small_checkpoint: Checkpoint
) -> None:
    """It would be a 400 for every call that names none, and bodies with `texts` cannot name one."""
    wanted = Settings.model_validate({"mode": mode})
    with pytest.raises(
        EngineOptionError, match=f"--mode {mode}: tiny-ce writes no reasoning; leave the mode at direct"
    ):
        build_engine(wanted, checkpoint)
    unable = replace(small_checkpoint.manifest, format=NAMED_FORMATS["bge-reranker-v2-gemma"])
    with pytest.raises(EngineOptionError, match=f"--mode {mode}: .* writes no reasoning"):
        build_engine(wanted, replace(small_checkpoint, manifest=unable))
    for model in (checkpoint, small_checkpoint):
        engine = build_first_stage(wanted, model)
        assert Scoring.DIRECT in engine.capabilities.scoring, "the mode is the served model's"
        asyncio.run(engine.close())
