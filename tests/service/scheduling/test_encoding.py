"""Encoding at the door: once for each call, exactly counted, in threads, with a share for each key."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.normalizers import Replace

from contract.pairs import PairEncoder
from contract.prompt import LIMRANK
from contract.segments import Segments
from contract.verdict import Reading
from service.engine import Encoder, Limits, Prefix, Rest, Scoring
from service.engines.causal.prompts import CausalEncoder
from service.engines.causal.text_length import FewestTokens, reads_words_apart
from service.engines.cross_encoder.encoder import CrossEncoderPrompts
from service.errors import FixedPartsTooLong, PassageTooLong
from service.models.checkpoint import Checkpoint
from service.scheduling.encoding import PART_PASSAGES, CallText, EncodingPool, PassageShare
from service.scheduling.work import Work
from tests.fakes import ScriptedEncoder
from tests.tokenizers import folder_tokenizer, minilm_tokenizer, qwen_tokenizer
from tests.waiting import turns, until

QUERY = "how do glaciers move"
TEXTS = {
    "Chinese": "光合作用把光能转化为化学能、植物依靠它生长。" * 9,
    "Japanese": "氷河は自分の重さでゆっくりと谷を下る。" * 9,
    "Korean": "빙하는 자신의 무게로 천천히 움직인다. " * 9,
    "Hindi": "हिमनद अपने भार से धीरे चलते हैं। " * 9,
    "digits": "2026-11-28 14:05:59.123 4711 0815 3.14159265358979 299792458 " * 9,
    "English": "Glaciers move because ice deforms under its own weight. " * 9,
}


def text(passages: Sequence[str], query: str = QUERY, **limits: Any) -> CallText:
    return CallText(query, None, passages, Limits(**limits))


def work_of(prefix: Prefix, rests: Sequence[Rest], budget: int = 0) -> Work:
    return Work("call", prefix, rests, (), Scoring.DIRECT, budget, 1, 0.0)


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("tokenizer", ["smollm2", "qwen2.5"])
async def test_admission_counts_the_tokens_of_every_language_exactly(
    embedded_checkpoint: Checkpoint, tokenizer: str, name: str
) -> None:
    """What is admitted is what the tokenizer makes of the whole prompts, the shared prefix counted once."""
    found = qwen_tokenizer() if tokenizer == "qwen2.5" else folder_tokenizer(embedded_checkpoint.folder)
    pool = EncodingPool(CausalEncoder(Segments(LIMRANK, found), 8192))
    passages = [TEXTS[name][: 40 * n] for n in range(1, 9)]
    encoded = await pool.encode(text(passages), "tests")
    pool.close()
    whole = [len(found.encode(LIMRANK.text(QUERY, p), add_special_tokens=False).ids) for p in passages]
    shared = len(encoded.prefix.ids)
    assert work_of(encoded.prefix, encoded.rests, 7).tokens == sum(whole) - (len(whole) - 1) * shared + 7 * len(whole)


@pytest.mark.parametrize("name", TEXTS)
async def test_pairs_are_counted_exactly_too(name: str) -> None:
    found = minilm_tokenizer()
    pool = EncodingPool(CrossEncoderPrompts(PairEncoder(found, 512)))
    passages = [TEXTS[name][: 20 * n] for n in range(1, 9)]
    encoded = await pool.encode(text(passages), "tests")
    pool.close()
    whole = [len(found.encode(QUERY, passage).ids) for passage in passages]
    assert [len(encoded.prefix.ids) + len(rest.ids) for rest in encoded.rests] == whole


@pytest.fixture(scope="module")
def encoders(embedded_checkpoint: Checkpoint) -> list[Encoder]:
    causal: list[Encoder] = [
        CausalEncoder(Segments(LIMRANK, tokenizer), 8192)
        for tokenizer in (folder_tokenizer(embedded_checkpoint.folder), qwen_tokenizer())
    ]
    return [*causal, CrossEncoderPrompts(PairEncoder(minilm_tokenizer(), 8192))]


def told_and_found(encoder: Encoder, passage: str) -> tuple[int, int]:
    """What is told of a passage by its characters, and how many tokens it has."""
    (rest,) = encoder.rests(encoder.prefix(QUERY, None, 0), [passage], Limits())
    return encoder.least_tokens([passage], sys.maxsize), len(rest.ids)


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_told_by_characters_is_never_more_than_there_is(encoders: list[Encoder], name: str) -> None:
    for encoder in encoders:
        for passage in (TEXTS[name], " " * 5000, "a" * 5000, "=" * 5000, "", " a b " * 900, "a   b " * 800):
            told, found = told_and_found(encoder, passage)
            assert told <= found


@given(st.text(st.one_of(st.sampled_from(" ab\n\t\x00\u200b\u0301"), st.characters(codec="utf-8")), max_size=300))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nor_of_any_text(encoders: list[Encoder], passage: str) -> None:
    for encoder in encoders:
        told, found = told_and_found(encoder, passage)
        assert told <= found


@given(
    st.lists(
        st.one_of(st.text("ab .\n\u00e9", max_size=40), st.sampled_from([" a b " * 900, "a b " * 20])), max_size=12
    ),
    st.integers(0, 60),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nor_of_many_passages(encoders: list[Encoder], passages: list[str], longest: int) -> None:
    for encoder in encoders:
        found = sum(min(told_and_found(encoder, passage)[1], longest) for passage in passages)
        assert encoder.least_tokens(passages, longest) <= found
        assert encoder.least_tokens(passages * 300, longest) <= 300 * found


def test_most_of_an_ordinary_passage_is_told_by_its_words(encoders: list[Encoder]) -> None:
    passage = "Rest and plenty of fluids help most people who have the flu to get well within a week or two."
    for encoder in encoders:
        told, found = told_and_found(encoder, passage)
        assert told >= 0.7 * found


def test_words_count_only_where_the_tokenizer_reads_them_apart() -> None:
    """Gemma's merges across blanks, which its normaliser has made another character of."""
    assert reads_words_apart(minilm_tokenizer())
    merging = Tokenizer.from_str(minilm_tokenizer().to_str())
    merging.normalizer = Replace(" ", "\u2581")
    assert not reads_words_apart(merging)
    assert FewestTokens(merging, 4)(["one two three four"], 100) == 4
    merging.pre_tokenizer = None
    assert not reads_words_apart(merging)


def test_no_more_than_is_read_of_a_long_passage_counts(encoders: list[Encoder]) -> None:
    """Where query and instruction leave as little room as they may."""
    pool = EncodingPool(encoders[-1], share=PassageShare(512, 512, 0.25))
    assert (pool.least_room(0), pool.least_room(28)) == (128, 100)
    assert PassageShare(512, 256, 0.25).room(0) == 0
    pool.close()


@dataclass
class Counting:
    """An encoder of the real kind, whose calls are counted."""

    inner: CausalEncoder
    prefixes: int = 0
    passages: int = 0
    threads: set[str] = field(default_factory=set)

    @property
    def answers(self) -> tuple[int, ...]:
        return self.inner.answers

    @property
    def reading(self) -> Reading:
        return self.inner.reading

    def least_tokens(self, texts: Sequence[str], longest: int) -> int:
        return self.inner.least_tokens(texts, longest)

    def token_ends(self, text: str) -> Sequence[int]:
        return self.inner.token_ends(text)

    def prefix(self, query: str, instruction: str | None, budget: int) -> Prefix:
        self.prefixes += 1
        self.threads.add(threading.current_thread().name)
        return self.inner.prefix(query, instruction, budget)

    def rests(self, prefix: Prefix, passages: Sequence[str], limits: Limits) -> list[Rest]:
        self.passages += len(passages)
        self.threads.add(threading.current_thread().name)
        return self.inner.rests(prefix, passages, limits)


async def test_the_prefix_is_encoded_once_for_a_call_and_every_passage_once(embedded_checkpoint: Checkpoint) -> None:
    segments = Segments(LIMRANK, folder_tokenizer(embedded_checkpoint.folder))
    encoder = Counting(CausalEncoder(segments, 8192))
    pool = EncodingPool(encoder)
    passages = [f"passage {n}" for n in range(1000)]
    encoded = await pool.encode(text(passages, "glacier " * 500), "tests")
    pool.close()
    assert (encoder.prefixes, encoder.passages) == (1, 1000)
    assert all(name.startswith("limrank-encode") for name in encoder.threads)
    assert encoded.seconds > 0
    plain = segments.prompt.rests(passages)
    assert [list(rest.ids) for rest in encoded.rests] == plain, "in parts as in one go"
    assert encoded.rests[0].ids.itemsize == 4  # type: ignore[attr-defined]


async def test_what_must_not_be_cut_is_refused_by_its_index_in_the_call(embedded_checkpoint: Checkpoint) -> None:
    segments = Segments(LIMRANK, folder_tokenizer(embedded_checkpoint.folder))
    pool = EncodingPool(CausalEncoder(segments, 256))
    passages = ["short"] * (PART_PASSAGES + 40)
    for long in (3, PART_PASSAGES + 7):
        passages[long] = "long " * 400
    cut = await pool.encode(text(passages), "tests")
    assert [index for index, rest in enumerate(cut.rests) if rest.truncated] == [3, PART_PASSAGES + 7]
    with pytest.raises(PassageTooLong) as refused:
        await pool.encode(text(passages, truncate=False), "tests")
    assert refused.value.index == 3
    assert refused.value.limit == cut.prefix.room
    passages[3] = "short"
    with pytest.raises(PassageTooLong, match=f"Document {PART_PASSAGES + 7} has more than the 20 tokens"):
        await pool.encode(text(passages, truncate=False, passage_tokens=20), "tests")
    with pytest.raises(FixedPartsTooLong, match="the model has 256; shorten the query"):
        await pool.encode(text(passages, "long " * 300), "tests")
    pool.close()


@dataclass
class Gated(ScriptedEncoder):
    """Encodes a part when it is told to; keeps the queries of the parts in their order."""

    gate: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    order: list[str] = field(default_factory=list)
    running: int = 0

    def prefix(self, query: str, instruction: str | None, budget: int) -> Prefix:
        made = super().prefix(query, instruction, budget)
        return Prefix(made.ids, made.room, second=len(self.queries))

    def rests(self, prefix: Prefix, passages: Sequence[str], limits: Limits) -> list[Rest]:
        self.running += 1
        self.gate.acquire()
        self.order.append(passages[0].split()[0])
        self.running -= 1
        return super().rests(prefix, passages, limits)


async def test_keys_have_equal_shares_of_the_threads_and_the_calls_of_a_key_take_turns() -> None:
    encoder = Gated()
    pool = EncodingPool(encoder, threads=1)

    def call(name: str, parts: int, key: str) -> asyncio.Task[object]:
        return asyncio.create_task(pool.encode(text([f"{name} x"] * parts * PART_PASSAGES), key))

    calls = [call("first", 8, "busy")]
    await until(lambda: encoder.running == 1)
    calls += [call("second", 8, "busy"), call("third", 8, "busy"), call("small", 3, "quiet")]
    await turns()
    for _ in range(27):
        encoder.gate.release()
    await asyncio.gather(*calls)
    pool.close()
    last = max(at for at, name in enumerate(encoder.order) if name == "small")
    assert last <= 8, "every second part was the other key's"
    busy = [name for name in encoder.order if name != "small"]
    assert busy[-3:] != ["third"] * 3, "calls of the same key go on side by side"


async def test_a_call_that_is_given_up_while_it_is_encoded_ends_after_its_part() -> None:
    encoder = Gated()
    pool = EncodingPool(encoder, threads=1)
    given_up = asyncio.create_task(pool.encode(text(["gone x"] * 20 * PART_PASSAGES), "a"))
    waiting = asyncio.create_task(pool.encode(text(["waiting x"] * PART_PASSAGES), "a"))
    await until(lambda: encoder.running == 1)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    leaves = asyncio.create_task(pool.encode(text(["leaves x"] * PART_PASSAGES), "a"))
    await turns()
    leaves.cancel()
    encoder.gate.release(3)
    await waiting
    await asyncio.gather(leaves, return_exceptions=True)
    assert encoder.order == ["gone", "waiting"]
    await pool.encode(text(["next x"]), "b")
    pool.close()


async def test_the_event_loop_goes_on_while_a_large_call_is_encoded(embedded_checkpoint: Checkpoint) -> None:
    pool = EncodingPool(CausalEncoder(Segments(LIMRANK, folder_tokenizer(embedded_checkpoint.folder)), 8192))
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0)
            beats += 1

    task = asyncio.create_task(beat())
    await pool.encode(text([f"{n} {TEXTS['English']}" for n in range(2000)]), "tests")
    task.cancel()
    pool.close()
    assert beats > 50, "it was held for whole parts at least"


@pytest.mark.parametrize(
    ("positions", "served", "fixed", "budget", "said"),
    [
        (512, 512, 384, 0, None),
        (512, 512, 385, 0, "leave 127 of the model's 512 tokens"),
        (8192, 512, 500, 0, None),  # little is left of what is served, which is the operator's choice
        (8192, 512, 512, 0, "no token of the 512 that are served"),
        (512, 512, 200, 311, None),  # what reasoning takes is not the query's fault
        (512, 512, 200, 312, "no token of the 512 that are served to a passage beside 312 for reasoning"),
    ],
)
def test_a_passage_keeps_its_share_of_the_positions_that_the_model_has(
    positions: int, served: int, fixed: int, budget: int, said: str | None
) -> None:
    share, prefix = PassageShare(positions, served, 0.25), Prefix((), served - fixed - budget)
    if said is None:
        share.check(prefix, budget)
        return
    with pytest.raises(FixedPartsTooLong, match=said):
        share.check(prefix, budget)
