"""Both methods from the command line to records, against a scripted endpoint over real HTTP."""

from __future__ import annotations

import json
import re
from collections import Counter
from importlib.resources import files
from io import StringIO
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from contract.records import Difficulty, NegativeType, Record
from synth.cli import main
from synth.methods.corpus.groups import groups
from synth.pipeline import examples, run
from synth.run.journal import Status, read_journal
from synth.settings import RunSettings
from tests.synth.endpoint import Fault, ScriptedEndpoint
from tests.synth.runs import DOMAINS, corpus_knobs, limrank_knobs, limrank_settings, toml_of

SEEDS = 12
PER_SEED = 13


@pytest.fixture(scope="module")
def limrank_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Record], list[dict[str, Any]]]:
    """The records of a run, and every request it made."""
    folder = tmp_path_factory.mktemp("limrank")
    with ScriptedEndpoint() as endpoint:
        run(limrank_settings(folder, endpoint.url, SEEDS), StringIO())
        return list(examples(folder / "run")), endpoint.counts.log


def test_limrank_makes_pairs_of_every_kind(limrank_run: tuple[list[Record], list[dict[str, Any]]]) -> None:
    records, _ = limrank_run
    assert len(records) == SEEDS * 2 * 3
    assert len({record.id for record in records}) == len(records)
    assert [record.relevant for record in records] == [True, False, False] * (SEEDS * 2)
    assert Counter(record.domain for record in records) == dict.fromkeys(DOMAINS, SEEDS * 2)
    assert {record.licence for record in records} == {"CC-BY-4.0 AND CC0-1.0"}
    assert {record.source for record in records} == {"limrank-synthesizer, seeds seeds.jsonl, writer"}
    assert all(record.votes and record.votes.true + record.votes.false == 1 for record in records)


def test_the_quotas_come_out_as_numbers(limrank_run: tuple[list[Record], list[dict[str, Any]]]) -> None:
    records, _ = limrank_run
    positives = [record for record in records if record.relevant]
    assert Counter(record.difficulty for record in positives) == {"direct": 10, "multi_step": 8, "instruction": 6}
    assert Counter(record.intent for record in positives) == {"direct": 17, "indirect": 7}
    negatives = Counter(record.negative_type for record in records if not record.relevant)
    assert set(negatives) == set(list(NegativeType)[:5])
    assert max(negatives.values()) - min(negatives.values()) <= 1
    for query in {record.query for record in records}:
        kinds = [record.negative_type for record in records if record.query == query and not record.relevant]
        assert len(set(kinds)) == 2


def test_only_instruction_queries_carry_their_definition(
    limrank_run: tuple[list[Record], list[dict[str, Any]]],
) -> None:
    records, _ = limrank_run
    for record in records:
        assert (record.instruction is not None) == (record.difficulty is Difficulty.INSTRUCTION)


def test_the_judge_is_blind(limrank_run: tuple[list[Record], list[dict[str, Any]]]) -> None:
    """A question to the judge is made of query, definition, intent and passage: the same whatever was intended."""
    records, log = limrank_run
    asked = {body["messages"][1]["content"] for body in log if body["model"] == "judge"}
    template = files("synth").joinpath("templates/limrank_judge.txt").read_text()
    by_pair = {(json.dumps(record.query), json.dumps(record.passage)): record for record in records}
    assert len(asked) == len(by_pair)
    shapes = set()
    for prompt in asked:
        query, passage = (
            line.split(": ", 1)[1] for line in prompt.splitlines() if line.startswith(("query:", "passage:"))
        )
        record = by_pair[query, passage]
        shape = prompt.replace(query, "Q").replace(passage, "P").replace(json.dumps(record.instruction), "I")
        shapes.add((record.instruction is None, record.intent, shape))
        for told in ("partial", "outdated", "negative", "positive", "contradicting", "intended", record.domain):
            assert told not in prompt.replace(passage, "").replace(query, "")
    assert len(shapes) == len({shape[:2] for shape in shapes}) == 4
    assert "${relevance}" not in template


def test_a_trace_is_the_judge_s_own(limrank_run: tuple[list[Record], list[dict[str, Any]]]) -> None:
    records, _ = limrank_run
    assert all(record.trace and record.trace.startswith("The query needs the ") for record in records)
    assert 0.8 < sum(record.accepted for record in records) / len(records) < 1


def test_k_votes_are_counted_and_the_trace_is_of_one_that_agrees(tmp_path: Path) -> None:
    """Of five votes on a pair two say the opposite."""
    asked: Counter[str] = Counter()

    def script(_: int, body: dict[str, Any]) -> Fault | None:
        if body["model"] != "judge":
            return None
        prompt = body["messages"][1]["content"]
        asked[prompt] += 1
        right = "This fits" in prompt
        told = right is not (asked[prompt] <= 2)
        return Fault(content=json.dumps({"reasoning": f"vote {asked[prompt]}", "relevant": told}))

    with ScriptedEndpoint(script=script) as endpoint:
        knobs = limrank_knobs(tmp_path, endpoint.url, seeds=2)
        knobs["limrank"]["votes"] = 5
        knobs["judge"]["concurrency"] = 1
        assert run(RunSettings(**knobs), StringIO()) == 12
        assert set(asked.values()) == {5}
    for record in examples(knobs["run"]):
        assert record.votes is not None
        assert (record.votes.true, record.votes.false) == ((3, 2) if record.relevant else (2, 3))
        assert record.trace == "vote 3"


def test_a_judge_that_thinks_aside_gives_its_thoughts_as_trace(tmp_path: Path) -> None:
    def script(_: int, body: dict[str, Any]) -> Fault | None:
        content = '<think>First I look at both.</think>{"reasoning": "short", "relevant": true}'
        return Fault(content=content) if body["model"] == "judge" else None

    with ScriptedEndpoint(script=script) as endpoint:
        settings = limrank_settings(tmp_path, endpoint.url, seeds=1)
        run(settings, StringIO())
    assert {record.trace for record in examples(settings.run)} == {"First I look at both."}


@pytest.mark.parametrize("method", ["limrank", "corpus"])
def test_no_trace_holds_the_string_that_ends_it(tmp_path: Path, method: str) -> None:
    """What a trainer refuses is never made: such a judgement is paid for, asked for again, and then given up."""
    verdict = {"limrank": '"relevant": true', "corpus": '"score": 9'}[method]
    tempted = f'{{"reasoning": "I would close with </think> here.", {verdict}}}'

    def script(_: int, body: dict[str, Any]) -> Fault | None:
        on_some = crc32(body["messages"][1]["content"].encode()) % 3 == 0
        return Fault(content=tempted) if body["model"] == "judge" and on_some else None

    with ScriptedEndpoint(script=script) as endpoint:
        knobs = (limrank_knobs if method == "limrank" else corpus_knobs)(tmp_path, endpoint.url)
        if method == "corpus":
            knobs["corpus"]["bi_encoder"] = ""
        run(RunSettings(**knobs), StringIO())
    judged = [row for row in read_journal(knobs["run"] / "journal.jsonl") if row.stage == f"{method}.judge"]
    refused = [row for row in judged if row.reason == "delimiter: the trace holds </think>"]
    assert Counter(row.status for row in refused) == dict.fromkeys((Status.RETRY, Status.REJECTED), len(refused) // 2)
    assert len(refused) >= 10
    kept = list(examples(knobs["run"]))
    assert len(kept) >= 10
    assert not [record for record in kept if "think" in str(record.trace)]


def test_the_command_line_runs_dry_then_really_then_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prices = {"price_prompt": 10.0, "price_completion": 30.0}
    with ScriptedEndpoint() as endpoint:
        knobs = limrank_knobs(tmp_path, endpoint.url, SEEDS)
        knobs["generator"] |= prices
        knobs["judge"] |= prices
        arguments = ["run", str(knobs["run"]), "--settings", str(toml_of(knobs, tmp_path / "settings.toml"))]

        assert main([*arguments, "--dry-run"]) == 0
        assert endpoint.counts.requests == 0
        assert not knobs["run"].exists()
        dry = _table(capsys.readouterr().out)
        assert {stage: line["calls"] for stage, line in dry.items()} == {
            "limrank.queries": "12",
            "limrank.positive": "24",
            "limrank.negative": "48",
            "limrank.judge": "72",
            "all": "156",
        }
        assert 0 < float(dry["all"]["cost"]) < float(dry["all"]["at most"])

        assert main(arguments) == 0
        assert endpoint.counts.requests == SEEDS * PER_SEED
        said = capsys.readouterr().out
        spent = sum(row.cost for row in read_journal(knobs["run"] / "journal.jsonl"))
        assert spent > 0
        accepted = sum(record.accepted for record in examples(knobs["run"]))
        assert f"{accepted} examples accepted, {spent:.4f} spent, {spent / accepted:.6f} for each" in said
        assert "seed queries: 12 of 12 (100 %), 156 calls," in said
        assert "\r" not in said

        assert main([*arguments, "--dry-run", "--limrank.votes", "3"]) == 0
        again = _table(capsys.readouterr().out)
        assert (again["limrank.queries"]["calls"], again["limrank.judge"]["calls"]) == ("0", "144")
        assert again["limrank.judge"]["from"] == "this run's replies"
        assert main([*arguments, "--dry-run", "--judge.temperature", "0.5"]) == 0
        again = _table(capsys.readouterr().out)
        assert [line["calls"] for line in again.values()] == ["0", "0", "0", "72", "72"], "other questions to the judge"
        assert main([*arguments, "--dry-run", "--generator.temperature", "0.5"]) == 0
        assert _table(capsys.readouterr().out)["all"]["calls"] == "156", "and what is made of other answers"

    assert main(["status", str(knobs["run"])]) == 0
    said = capsys.readouterr().out
    assert f"finished, 72 pairs labelled, {accepted} accepted by majority" in said
    assert "planned: 12 units" in said
    assert "limrank.judge     judge   72 (100.0 %)" in said
    assert f"cost so far: {spent:.4f}, {spent / accepted:.6f} for each accepted example" in said


def test_the_corpus_method_makes_groups_with_mined_and_scored_negatives(tmp_path: Path) -> None:
    with ScriptedEndpoint() as endpoint:
        knobs = corpus_knobs(tmp_path, endpoint.url, documents=30)
        accepted = run(RunSettings(**knobs), StringIO())
        written = [body for body in endpoint.counts.log if "example query" in body["messages"][1]["content"]]
        judged = [body for body in endpoint.counts.log if '"score"' in body["messages"][1]["content"]]
        asked = endpoint.counts.requests
        assert len(written) == 10
        assert len(judged) + len(written) == asked
        assert run(RunSettings(**knobs), StringIO()) == accepted
        assert endpoint.counts.requests == asked
    records = list(examples(knobs["run"]))
    assert len(records) == accepted > 20
    assert {record.domain for record in records} == {"gardens"}
    assert {record.licence for record in records} == {"CC-BY-4.0 AND CC0-1.0"}
    by_query: dict[str, list[Record]] = {}
    for record in records:
        by_query.setdefault(record.query, []).append(record)
    assert sum(len(together) for together in by_query.values()) == len(records)
    assert all(sorted(together, key=lambda record: not record.relevant) == together for together in by_query.values())
    kinds = Counter(record.negative_type for record in records if not record.relevant)
    assert kinds[NegativeType.BM25] > 0
    assert kinds[NegativeType.BI_ENCODER] > 0
    made = list(groups(records, negatives=3))
    assert made
    for group in made:
        together = by_query[group.query]
        assert group.positive in [record.passage for record in together if record.relevant]
        assert group.negatives == tuple(record.passage for record in together if not record.relevant)[:3]


def _table(text: str) -> dict[str, dict[str, str]]:
    """The lines of a printed table by their first column."""
    lines = text.rstrip("\n").splitlines()
    columns = [(found.group(), found.start()) for found in re.finditer(r"\S+(?: \S+)*", lines[0])]
    ends = [*(start for _, start in columns[1:]), None]
    rows = {}
    for line in lines[1:]:
        row = {name: line[start:end].strip() for (name, start), end in zip(columns, ends, strict=True)}
        rows[row["stage"]] = row
    return rows
