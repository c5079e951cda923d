"""Trainer ids == service ids, through the verdict, for two tokenizers and 200 random inputs in each mode.

What stands before the verdict is compared with the sequences that are trained: the service's documents with the close
that it puts, or with what its engine feeds for a trace that a model writes token by token and closes itself.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from contract.prompt import LIMRANK
from contract.reasoning import Reader, Status
from contract.records import Difficulty, Intent, Record
from contract.segments import Segments
from service.engine import Limits, Prompt
from service.engines.causal.prompts import CausalEncoder
from service.engines.causal.requests import requests_of
from service.engines.cross_encoder.encoder import CrossEncoderPrompts
from service.engines.submission import Submission
from service.engines.transformers.decoder import Generation
from service.engines.transformers.kv_cache import CacheShape, KVCache
from service.models.checkpoint import Checkpoint
from tests.tokenizers import folder_tokenizer, minilm_folder, qwen_tokenizer
from trainer.cross_encoder.groups import Row
from trainer.cross_encoder.model import encode_row, load_pair_encoder
from trainer.sft.examples import Lengths, LossWeights, sequences

LIMIT = 160
PIECES = (
    *("<think>", "</think>", "</think", "<|im_end|>", "<|endoftext|>", "true", " false", "\n", "\n\n", " ", "  ", "."),
    *(
        "?",
        "\u00e9",
        "e\u0301",
        "日本語",
        "🙂",
        "\u200b",
        "word",
        "Passage:",
        "Query:",
        "\ufb01",
        "١٢٣",
        "<",
        ">",
        "'s",
    ),
    *("\t", "[SEP]"),
)
ENDS = (".", "?", "\n", "", " ", "...", "!")


def random_text(choose: random.Random, most: int) -> str:
    """Not blank, of pieces at which tokenizers fuse and prompts break."""
    return "x" + "".join(choose.choice(PIECES) + choose.choice(["", " ", "a"]) for _ in range(choose.randint(0, most)))


def random_record(choose: random.Random, number: int) -> Record:
    traced = number % 2 == 1
    trace = re.sub(r"</?think>|<\|\w+\|>", "", random_text(choose, 12)) + choose.choice(ENDS)
    return Record(
        id=str(number),
        query=random_text(choose, 6),
        passage=random_text(choose, 90 if number % 5 == 0 else 20),
        instruction=random_text(choose, 5) if number % 3 == 0 else None,
        relevant=choose.random() < 0.5,
        trace=trace if traced else None,
        source="test",
        licence="CC0-1.0",
        domain="test",
        difficulty=Difficulty.DIRECT,
        intent=Intent.DIRECT,
    )


def fed(prompt: Prompt, segments: Segments, written: Sequence[int]) -> list[int]:
    """The ids that the engine feeds behind the prompt where a model writes these, until the verdict is due."""
    reader = Reader(segments, ())
    (request,) = requests_of(Submission(1), [replace(prompt, budget=len(written))], segments.close, reader)
    nothing = KVCache(CacheShape(layers=1, heads=1, head_dim=1, dtype=torch.float32))
    generation = Generation(request, nothing, segments, reader)
    ids = []
    for token in written:
        generation.write(token)
        ids.append(generation.feed())
    assert generation.status is Status.COMPLETE
    assert generation.answers_due
    return ids


@pytest.fixture(params=["smollm2", "qwen"])
def segments(request: pytest.FixtureRequest, embedded_checkpoint: Checkpoint) -> Segments:
    tokenizer = qwen_tokenizer() if request.param == "qwen" else folder_tokenizer(embedded_checkpoint.folder)
    return Segments(LIMRANK, tokenizer)


async def test_causal_ids_are_the_same(segments: Segments) -> None:
    choose = random.Random(11)
    encoder, reader = CausalEncoder(segments, LIMIT), Reader(segments, ())
    cut = traced = 0
    for number in range(400):
        record = random_record(choose, number)
        trace = segments.trace_ids(record.trace or "")
        # The trainer has room for its trace and verdict; the service keeps room for the trace's budget.
        made = next(sequences([record], segments, Lengths(LIMIT + len(trace) + 1), LossWeights()))
        prefix = encoder.prefix(record.query, record.instruction, 0)
        (rest,) = encoder.rests(prefix, [record.passage], Limits())
        prompt = Prompt("one", prefix.ids, rest.ids)
        (request,) = requests_of(Submission(1), [prompt], segments.close, reader)
        if record.trace is None:
            context = [*request.prefix, *request.rest, *request.closing]
        else:
            context = [*prefix.ids, *rest.ids, *fed(prompt, segments, [*trace, *segments.close])]
            traced += 1
        word = segments.verdict.true if record.relevant else segments.verdict.false
        assert list(made.ids) == [*context, word]
        assert made.truncated == rest.truncated
        cut += made.truncated
    assert traced == 200
    assert 20 < cut < 200


def test_pairs_are_the_same() -> None:
    """The cross-encoder's engine and its trainer share `contract.pairs`; what each puts around it is compared."""
    choose = random.Random(12)
    trained = load_pair_encoder(minilm_folder(), LIMIT)
    served = CrossEncoderPrompts(load_pair_encoder(minilm_folder(), LIMIT))
    for number in range(200):
        record = random_record(choose, number)
        row = Row(record.query, record.instruction, (record.passage, "second"))
        prefix = served.prefix(row.query, row.instruction, 0)
        rests = served.rests(prefix, row.passages, Limits())
        for pair, rest in zip(encode_row(trained, row), rests, strict=True):
            assert ([*prefix.ids, *rest.ids], prefix.second, rest.truncated) == (
                list(pair.ids),
                pair.second,
                pair.truncated,
            )
