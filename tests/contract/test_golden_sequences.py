"""Whole training sequences in both tokenizers, id by id and written out: prompt, trace, close, verdict word.

A change in any of these lists means that models trained before and served after, or the other way round, no longer
see what they saw.
"""

from __future__ import annotations

import pytest

from contract.prompt import LIMRANK
from contract.segments import Segments
from service.models.checkpoint import Checkpoint
from tests.tokenizers import folder_tokenizer, qwen_tokenizer

QUERY, PASSAGE, INSTRUCTION = "What is it?", "It is red.\n", "Colours count."

# Determine if the following passage is relevant to the query. Answer only with 'true' or 'false'.
# Query: What is it?( Colours count.)
# Passage: It is red.
#
# <think>
PROMPTS = {
    "smollm2": [
        *(44208, 585, 260, 1695, 7429, 314, 4006, 288, 260, 8520, 30, 19842, 805, 351, 637, 10469, 23, 355, 637, 21642),
        *(4289, 198, 22731, 42, 1812, 314, 357, 47, 198, 17911, 473, 42, 657, 314, 2382, 30, 198, 198, 44, 17400, 46),
    ],
    "qwen2.5": [
        *(35, 24308, 421, 279, 2701, 21085, 374, 9760, 311, 279, 3239, 13, 21806, 1172, 448, 364, 1866, 6, 476, 364),
        *(3849, 23569, 2859, 25, 3555, 374, 432, 5267, 12187, 424, 25, 1084, 374, 2518, 382, 13708, 766, 29),
    ],
}
INSTRUCTED = {
    "smollm2": [
        *(44208, 585, 260, 1695, 7429, 314, 4006, 288, 260, 8520, 30, 19842, 805, 351, 637, 10469, 23, 355, 637, 21642),
        *(4289, 198, 22731, 42, 1812, 314, 357, 47, 1712, 1970, 985, 30),
        *(198, 17911, 473, 42, 657, 314, 2382, 30, 198, 198, 44, 17400, 46),
    ],
    "qwen2.5": [
        *(35, 24308, 421, 279, 2701, 21085, 374, 9760, 311, 279, 3239, 13, 21806, 1172, 448, 364, 1866, 6, 476, 364),
        *(3849, 23569, 2859, 25, 3555, 374, 432, 30, 4254, 2471, 1760),
        *(624, 12187, 424, 25, 1084, 374, 2518, 382, 13708, 766, 29),
    ],
}
# None: direct mode, an empty trace.
TRACES: dict[str, dict[str | None, list[int]]] = {
    "smollm2": {
        None: [],
        "It is.": [1589, 314, 30],
        "Is it?": [4182, 357, 47],
        "It is.\n": [1589, 314, 30, 198],
        " It answers": [657, 5360],
    },
    "qwen2.5": {
        None: [],
        "It is.": [2132, 374, 13],
        "Is it?": [3872, 432, 30],
        "It is.\n": [2132, 374, 624],
        " It answers": [1084, 11253],
    },
}
CLOSES = {"smollm2": [9617, 17400, 46], "qwen2.5": [522, 26865, 29]}
WORDS = {"smollm2": {True: 2629, False: 7065}, "qwen2.5": {True: 830, False: 895}}


@pytest.fixture(params=["smollm2", "qwen2.5"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def segments(name: str, embedded_checkpoint: Checkpoint) -> Segments:
    tokenizer = qwen_tokenizer() if name == "qwen2.5" else folder_tokenizer(embedded_checkpoint.folder)
    return Segments(LIMRANK, tokenizer)


@pytest.mark.parametrize("relevant", [True, False])
@pytest.mark.parametrize("trace", TRACES["smollm2"])
@pytest.mark.parametrize("instructed", [False, True])
def test_a_sequence_is_these_ids(
    segments: Segments, name: str, trace: str | None, relevant: bool, instructed: bool
) -> None:
    expected_prompt = (INSTRUCTED if instructed else PROMPTS)[name]
    expected = [*expected_prompt, *TRACES[name][trace], *CLOSES[name], WORDS[name][relevant]]
    instruction = INSTRUCTION if instructed else None
    prompt, told = segments.prompt_ids(QUERY, PASSAGE, instruction), segments.trace_ids(trace or "")
    example = segments.example(prompt, told, relevant)
    assert list(example.ids) == expected
    assert example.prompt_tokens == len(expected_prompt)
    served = segments.context(prompt, told)
    assert served == expected[:-1], "what a service reads the verdict after"


def test_the_prompt_is_the_reference_s_one_string(segments: Segments, name: str) -> None:
    text = LIMRANK.text(QUERY, PASSAGE)
    assert segments.tokenizer.encode(text, add_special_tokens=False).ids == PROMPTS[name]
