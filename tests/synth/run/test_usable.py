"""Runs in which no reply can be used: they stop early, say what to change and fail."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from synth.cli import main
from synth.errors import NothingUsable
from synth.pipeline import run
from synth.run.usable import UNUSABLE_IN_ALL
from synth.settings import RunSettings
from tests.synth.endpoint import Fault, ScriptedEndpoint
from tests.synth.runs import asks_for_passage, corpus_knobs, endpoint_knobs, limrank_knobs, limrank_settings, toml_of

SEEDS = 200
CUT = Fault(content='{"daily_life":', finish="length")
REFUSED = Fault(refusal="I will not.")
FAULTS: dict[str, tuple[Fault, str]] = {
    "cut": (CUT, r"\d+ truncated; .*Raise --generator.max-tokens, which is 2048"),
    "refused": (REFUSED, r"\d+ refusal; .*'writer' refuses the task: name another --generator.model"),
    "filtered": (Fault(content="", finish="content_filter"), r"\d+ refusal; .*name another --generator.model"),
    "empty": (Fault(content=""), r"\d+ empty; .*Raise --generator.max-tokens"),
    "no JSON": (Fault(content="Sure!"), r"\d+ not_json; .*does not answer as asked: name another --generator.model"),
    "another shape": (Fault(content="{}"), r"\d+ wrong_shape; .*change the templates"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_run_in_which_no_reply_can_be_used_stops_early_and_says_what_to_change(tmp_path: Path, kind: str) -> None:
    fault, said = FAULTS[kind]
    with ScriptedEndpoint(script=lambda *_: fault) as endpoint:
        settings = limrank_settings(tmp_path, endpoint.url, seeds=SEEDS)
        with pytest.raises(NothingUsable, match=rf"None of 20 replies to 'limrank\.queries' could be used \({said}"):
            run(settings, StringIO())
        assert UNUSABLE_IN_ALL <= endpoint.counts.requests <= UNUSABLE_IN_ALL + settings.generator.concurrency
    assert not (settings.run / "done.json").exists()


def test_so_does_one_whose_later_stage_gives_nothing(tmp_path: Path) -> None:
    with ScriptedEndpoint(script=lambda _, body: CUT if asks_for_passage(body) else None) as endpoint:
        settings = limrank_settings(tmp_path, endpoint.url, seeds=SEEDS)
        with pytest.raises(NothingUsable, match=r"replies to 'limrank\.positive' could be used"):
            run(settings, StringIO())
        assert endpoint.counts.requests < SEEDS


def test_so_does_the_judge_of_a_corpus_run(tmp_path: Path) -> None:
    def script(_: int, body: dict[str, Any]) -> Fault | None:
        return REFUSED if '"score"' in body["messages"][1]["content"] else None

    with ScriptedEndpoint(script=script) as endpoint:
        knobs = corpus_knobs(tmp_path, endpoint.url)
        knobs["corpus"]["bi_encoder"] = ""
        with pytest.raises(NothingUsable, match=r"'judge' refuses the task: name another --judge\.model"):
            run(RunSettings(**knobs), StringIO())


def test_questions_that_the_endpoint_refuses_one_by_one_stop_it_too(tmp_path: Path) -> None:
    """As a content filter that answers 400 does."""
    refusal = Fault(400, '{"error": {"message": "filtered"}}')
    with ScriptedEndpoint(script=lambda _, body: refusal if asks_for_passage(body) else None) as endpoint:
        settings = limrank_settings(tmp_path, endpoint.url, seeds=SEEDS)
        with pytest.raises(NothingUsable, match=r"20 bad_request; the last: bad_request: filtered"):
            run(settings, StringIO())


def test_one_usable_reply_is_enough_to_go_on(tmp_path: Path) -> None:
    def script(number: int, _: dict[str, Any]) -> Fault | None:
        return CUT if number != 1 else None

    with ScriptedEndpoint(script=script) as endpoint:
        only = endpoint_knobs(endpoint.url, replies=1, concurrency=1)
        settings = limrank_settings(tmp_path, endpoint.url, seeds=30, generator=only, judge=only)
        run(settings, StringIO())
        assert endpoint.counts.requests >= 30


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_run_too_small_to_stop_early_fails_at_its_end(
    tmp_path: Path, seeds: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with ScriptedEndpoint(script=lambda *_: CUT) as endpoint:
        knobs = limrank_knobs(tmp_path, endpoint.url, seeds)
        words = ["run", str(knobs["run"]), "--settings", str(toml_of(knobs, tmp_path / "settings.toml"))]
        for _ in range(2):  # the second time from the journal alone
            assert main(words) == 1
            told = capsys.readouterr()
            assert f"None of {2 * seeds} replies to 'limrank.queries' could be used" in told.err
            assert "0 examples accepted" in told.out
        assert endpoint.counts.requests == 2 * seeds
        endpoint.script = None
        assert main([*words, "--generator.max-tokens", "4096"]) == 0, "what it says to change helps"
    assert json.loads((knobs["run"] / "done.json").read_text())["accepted"] > 0
