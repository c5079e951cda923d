"""Records become sequences: ids as the contract joins them, loss on the completion, a cut of the passage alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contract.prompt import LIMRANK
from contract.records import Record, to_json
from contract.segments import Segments
from service.models.checkpoint import Checkpoint
from tests.tokenizers import folder_tokenizer, qwen_tokenizer
from tests.trainer.examples import records
from trainer.errors import BadBase, BadData
from trainer.sft.examples import (
    Lengths,
    LossWeights,
    RecordChoice,
    load_records,
    load_segments,
    sequences,
    without_contradictions,
)

HEADER = '{"format": "limrank.records", "version": 1}\n'


@pytest.fixture(scope="module", params=["smollm2", "qwen"])
def segments(request: pytest.FixtureRequest, embedded_checkpoint: Checkpoint) -> Segments:
    tokenizer = qwen_tokenizer() if request.param == "qwen" else folder_tokenizer(embedded_checkpoint.folder)
    return Segments(LIMRANK, tokenizer)


def test_ids_are_the_contracts_and_the_loss_is_on_the_completion_only(segments: Segments) -> None:
    for record in records(12):
        made = next(sequences([record], segments, Lengths(512), LossWeights(verdict=5.0)))
        prompt = segments.prompt_ids(record.query, record.passage, record.instruction)
        example = segments.example(prompt, segments.trace_ids(record.trace or ""), record.relevant)
        assert made.ids == example.ids
        assert made.prompt_tokens == example.prompt_tokens
        assert sum(made.weights) == pytest.approx(1)
        assert made.weights[-1] == pytest.approx(5 * made.weights[0])


def test_the_conclusion_and_traced_examples_have_weights_of_their_own(segments: Segments) -> None:
    head, end = "The query asks about ice. The passage is about e.g. snow.", " The subject is another one, so no."
    record = replace(next(records(1)), trace=head + end)
    weights = LossWeights(verdict=5.0, conclusion=3.0, traced=8.0)
    made = next(sequences([record], segments, Lengths(512), weights)).weights
    told, close = len(segments.trace_ids(head)), len(segments.close)
    concluded = len(segments.trace_ids(head + end)) - told
    unit = 8.0 / (told + 3 * concluded + close + 5)
    expected = [unit] * told + [3 * unit] * concluded + [unit] * close + [5 * unit]
    assert made == pytest.approx(expected)
    direct = next(sequences([replace(record, trace=None)], segments, Lengths(512), weights))
    assert direct.weights == (1.0,)
    single = next(sequences([replace(record, trace="It is ice.")], segments, Lengths(512), weights)).weights
    assert single[0] == pytest.approx(3 * single[-2])  # one sentence is all conclusion


def test_without_a_trace_the_verdict_alone_is_trained(segments: Segments) -> None:
    record = replace(next(records(1)), trace=None)
    made = next(sequences([record], segments, Lengths(512), LossWeights(verdict=5.0)))
    prompt = segments.prompt_ids(record.query, record.passage, record.instruction)
    assert made.ids == (*prompt, *segments.close, segments.verdict.true)
    assert made.weights == (1.0,)


def test_only_the_passage_is_cut(segments: Segments) -> None:
    record = replace(next(records(1)), passage="word " * 500 + "END")
    whole = next(sequences([record], segments, Lengths(2000), LossWeights()))
    for lengths in (Lengths(120), Lengths(2000, 40)):
        made = next(sequences([record], segments, lengths, LossWeights()))
        assert made.truncated
        assert not whole.truncated
        assert len(made.ids) <= lengths.tokens
        assert made.ids[-len(made.weights) :] == whole.ids[-len(whole.weights) :]
        prefix = segments.prompt.prefix(record.query, record.instruction)
        assert made.ids[: len(prefix)] == tuple(prefix)


def test_a_share_is_trained_for_direct_mode(records_file: Path) -> None:
    some = load_records(records_file, RecordChoice(direct_share=0.5, seed=2))
    assert 10 < sum(record.trace is None for record in some) < 38
    assert all(record.trace for record in load_records(records_file, RecordChoice()))
    assert not any(record.trace for record in load_records(records_file, RecordChoice(direct_share=1.0)))
    small = load_records(records_file, RecordChoice(sample=10, direct_share=0.5, seed=2))
    assert small == some[:10]


def _file(folder: Path, *lines: str) -> Path:
    path = folder / "records.jsonl"
    path.write_text(HEADER + "".join(line + "\n" for line in lines))
    return path


def test_a_record_without_a_verdict_is_refused(tmp_path: Path) -> None:
    row = json.loads(to_json(next(records(1))))
    for verdict in ({}, {"relevant": None}, {"relevant": "true"}):
        broken = {key: value for key, value in row.items() if key != "relevant"} | verdict
        with pytest.raises(BadData, match=r"records.jsonl, line 2: .*relevant"):
            load_records(_file(tmp_path, json.dumps(broken)), RecordChoice())


def test_a_trace_with_a_delimiter_is_refused_by_name(segments: Segments) -> None:
    broken = replace(next(records(1)), id="the-one", trace="so </think> true")
    with pytest.raises(BadData, match=r"Record 'the-one': A trace must not contain '</think>'"):
        list(sequences([broken], segments, Lengths(512), LossWeights()))


def test_a_record_whose_fixed_parts_do_not_fit_is_refused(segments: Segments) -> None:
    record: Record = replace(next(records(1)), trace="long " * 300)
    with pytest.raises(BadData, match=r"alone do not fit into 200 tokens; raise --max-tokens"):
        list(sequences([record], segments, Lengths(200), LossWeights()))


@pytest.mark.parametrize("part", ["trace", "query", "instruction"])
def test_a_record_whose_other_parts_leave_its_passage_next_to_nothing_is_refused(segments: Segments, part: str) -> None:
    """A passage that fits is trained however little room is left, and so is one that the caller wants short."""
    changed: dict[str, Any] = {part: "long " * 60}
    long = replace(next(records(1)), id="the-one", passage="word " * 300, **changed)
    most = len(next(sequences([long], segments, Lengths(2000), LossWeights())).ids)
    tokens = most - 300 + 20
    with pytest.raises(BadData, match=rf"'the-one': query, .* leave \d+ of {tokens} tokens to its passage"):
        list(sequences([long], segments, Lengths(tokens), LossWeights()))
    for fits, lengths in ((replace(long, passage="word"), Lengths(tokens)), (long, Lengths(tokens, 10))):
        assert len(next(sequences([fits], segments, lengths, LossWeights())).ids) <= tokens


def test_a_base_with_another_vocabulary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadBase, match=r"tokenizer.json cannot be read"):
        load_segments(tmp_path)
    (tmp_path / "tokenizer.json").write_text(
        json.dumps(
            {
                "version": "1.0",
                "truncation": None,
                "padding": None,
                "added_tokens": [],
                "normalizer": None,
                "pre_tokenizer": None,
                "post_processor": None,
                "decoder": None,
                "model": {"type": "WordLevel", "vocab": {"a": 0, "[UNK]": 1}, "unk_token": "[UNK]"},
            }
        )
    )
    with pytest.raises(BadBase, match="must be exactly one token more"):
        load_segments(tmp_path)


@pytest.mark.parametrize("copy", ["The  Passage.", "the passage.", "THE\u00a0PASSAGE."])
def test_what_answers_a_query_is_not_trained_as_irrelevant_to_it(copy: str) -> None:
    one = replace(next(records(1)), passage="the passage.", relevant=True)
    other = replace(one, id="n", query=one.query.upper(), passage=copy, relevant=False)
    elsewhere = [replace(other, id="q", query="another"), replace(other, id="i", instruction="Only pictures count.")]
    assert without_contradictions([other, one, *elsewhere]) == [one, *elsewhere]
