"""Retrieve, rerank, answer, match the choice: GPQA's schema, a scripted answering model, real files."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from evaluation.answering import Answered, prompt, read_choice
from evaluation.benchmarks import gpqa
from evaluation.benchmarks.data_source import DataSource
from evaluation.cli import main
from llm.base import Finish, Reply
from tests.evaluation import small_data
from tests.evaluation.answer_endpoint import endpoint
from tests.synth.endpoint import Fault, Script, ScriptedEndpoint


def reader(said: str) -> str:
    """Finds the right choice where a passage shown tells it, and says A where none does."""
    for told, right in (("two minutes", "two minutes"), ("three hundred", "every 300 km")):
        passages, _, asked = said.partition("Question:")
        if told in passages and right in asked:
            return json.dumps({"answer": next(line[0] for line in asked.splitlines() if line.endswith(right))})
    return '{"answer": "A"}'


def arguments(tmp_path: Path, url: str) -> list[str]:
    gpqa_folder = small_data.gpqa_folder(tmp_path / "gpqa")
    passages = small_data.beir_folder(tmp_path / "own")
    flags = {"data": gpqa_folder, "passages": passages, "out": tmp_path / "out", "answer-url": url}
    flags |= {"answer-model": "scripted", "shown": 1, "depth": 3}
    return ["rag", "--bm25", *(word for name, value in flags.items() for word in (f"--{name}", str(value)))]


def test_passages_that_tell_the_answer_make_it_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with endpoint(reader) as scripted:
        assert main(arguments(tmp_path, scripted.url)) == 0
        asked = len(scripted.bodies)
        assert main(arguments(tmp_path, scripted.url)) == 0
        assert len(scripted.bodies) == asked  # every reply was kept
    with endpoint(reader) as other:
        assert main(arguments(tmp_path, other.url)) == 0
        assert len(other.bodies) == asked, "another endpoint's replies are its own"
    (path,) = (tmp_path / "out").rglob("rag.json")
    found = json.loads(path.read_text())
    assert found["questions"] == 2
    assert found["accuracy"]["first stage"]["mean"] == found["accuracy"]["reranked"]["mean"] == 1.0
    right_by_chance = [one.answer for one in _questions(tmp_path)].count("A") / 2
    assert found["accuracy"]["no passages"]["mean"] == right_by_chance
    assert found["protocol"]["answered_by"] == "scripted"
    assert found["protocol"]["answered_at"] == other.url
    assert scripted.bodies[0]["temperature"] == 0
    assert "accuracy no passages" in capsys.readouterr().out


def test_an_endpoint_without_response_format_is_asked_without_it(tmp_path: Path) -> None:
    with endpoint(lambda said: "I think it is B.", refuse_format=True) as scripted:
        assert main(arguments(tmp_path, scripted.url)) == 0
        assert all("response_format" not in body for body in scripted.bodies)
    found = json.loads(next((tmp_path / "out").rglob("rag.json")).read_text())
    assert found["unreadable"] == {"no passages": 2, "first stage": 2, "reranked": 2}
    assert found["accuracy"]["reranked"]["mean"] == 0.0


def test_gpqa_that_cannot_be_had_is_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with endpoint(reader) as scripted:
        words = arguments(tmp_path, scripted.url)
        words[words.index("--data") + 1] = str(tmp_path / "nowhere")
        assert main(words) == 0
        assert scripted.bodies == []
    assert "gpqa/gpqa_diamond: not run:" in capsys.readouterr().out
    assert list((tmp_path / "out").rglob("not_run.json"))


def test_only_the_object_asked_for_is_an_answer() -> None:
    assert read_choice(reply_of(' {"answer": "C"}\n')) == Answered("C")
    assert read_choice(reply_of('```json\n{"answer": "C"}\n```')) == Answered("C")
    for text in ("C", '{"answer": "E"}', '{"answer": "B", "why": "so"}', "```json\n{}\n```", '{"answer": ["B"]}', ""):
        assert read_choice(reply_of(text)).letter is None


def reply_of(text: str) -> Reply:
    return Reply(text, "", Finish.STOP, 0, 0, 0.0)


THOUGHT = {"type": "text", "text": "So."}
SOON = (("retry-after-ms", "20"),)


def run_scripted(tmp_path: Path, script: Script, *more: str) -> tuple[int, dict[str, Any], list[dict[str, Any]]]:
    """The exit code, the result ({} where there is none) and the bodies that were sent."""
    with ScriptedEndpoint(script=script) as scripted:
        code = main([*arguments(tmp_path, scripted.url), *more])
    results = list((tmp_path / "out").rglob("rag.json"))
    return code, json.loads(results[0].read_text()) if results else {}, scripted.counts.log


def saying(content: Any, **message: Any) -> Fault:
    choice = {"message": {"role": "assistant", "content": content} | message, "finish_reason": "stop"}
    return Fault(body=json.dumps({"choices": [choice]}))


@pytest.mark.parametrize(
    "fault",
    [
        Fault(429, '{"error": {"message": "slow down"}}', headers=SOON),
        Fault(502, "bad gateway", headers=SOON),
        Fault(503, "{}", headers=SOON),
        Fault(cut=True),
    ],
    ids=["429", "502", "503", "a broken connection"],
)
def test_what_passes_is_tried_again(tmp_path: Path, fault: Fault) -> None:
    """Each question's first sending fails."""
    code, found, _ = run_scripted(
        tmp_path, lambda number, _: fault if number % 2 else saying('{"answer": "A"}'), "--answer-concurrency", "1"
    )
    assert code == 0
    assert found["unreadable_share"] == {"no passages": 0.0, "first stage": 0.0, "reranked": 0.0}


def test_retry_after_is_obeyed(tmp_path: Path) -> None:
    fault = Fault(429, "{}", headers=(("retry-after", "1"),))
    begun = time.monotonic()
    code, _, _ = run_scripted(tmp_path, lambda number, _: fault if number == 1 else saying('{"answer": "A"}'))
    assert code == 0
    assert time.monotonic() - begun >= 1


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "Unsupported value: 'temperature' does not support 0 with this model."),
        (400, "This parameter cannot be set."),
        (422, "Extra inputs are not permitted: TEMPERATURE"),
        (400, "Only the default (1) value is supported."),
    ],
)
def test_a_temperature_that_is_refused_is_left_out(tmp_path: Path, status: int, words: str) -> None:
    refusal = Fault(status, json.dumps({"error": {"message": words}}))
    code, found, bodies = run_scripted(
        tmp_path, lambda _, body: refusal if "temperature" in body else saying('{"answer": "A"}')
    )
    assert code == 0
    assert found["protocol"]["temperature"] == "none sent"
    assert "temperature" not in bodies[-1]
    assert bodies[-1]["response_format"]["type"] == "json_schema"
    assert sum(found["unreadable"].values()) == 0


def test_a_temperature_can_be_left_out_and_a_reply_limited(tmp_path: Path) -> None:
    limit = ["--answer-max-tokens", "4000", "--answer-max-tokens-name", "max_completion_tokens"]
    said = saying('{"answer": "A"}')
    code, _, bodies = run_scripted(tmp_path, lambda *_: said, "--answer-temperature", "none", *limit)
    assert code == 0
    assert all("temperature" not in body and body["max_completion_tokens"] == 4000 for body in bodies)


@pytest.mark.parametrize(
    "fault",
    [
        saying('<think>It is not {"answer": "B"}.</think>\n{"answer": "A"}'),
        saying('It is not {"answer": "B"}.\n</think>\n\n{"answer": "A"}'),
        saying('```json\n{"answer": "A"}\n```'),
        saying('<think>So.</think>```json\n{"answer": "A"}\n```'),
        saying([{"type": "text", "text": '{"answer": '}, {"type": "text", "text": '"A"}'}]),
        saying(
            [
                {"type": "thinking", "thinking": [THOUGHT]},
                {"type": "text", "text": '{"answer": "A"}'},
            ]
        ),
        saying('{"answer": "A"}', reasoning_content="Or B."),
        saying('[THINK]It is not {"answer": "B"}.[/THINK]{"answer": "A"}'),
        saying('<thinking>Or B.</thinking>\n```JSON\n{"answer": "A"}\n```'),
        saying('\u25c1think\u25b7Or B.\u25c1/think\u25b7{"answer": "A"}'),
        saying('~~~json\n{"answer": "A"}\n~~~'),
        saying([{"type": "output_text", "text": '{"answer": "A"}'}]),
        saying([{"type": "reasoning", "text": "Or B."}, {"text": '{"answer": "A"}'}]),
    ],
    ids=[
        *(
            "thought",
            "opened by the template",
            "fenced",
            "thought and fenced",
            "parts",
            "thought in parts",
            "reasoning",
        ),
        *("thought of Mistral's", "thought in another tag", "thought of Kimi's", "another fence", "output text"),
        "reasoning in parts",
    ],
)
def test_an_answer_is_read_in_whatever_it_comes(tmp_path: Path, fault: Fault) -> None:
    _, found, _ = run_scripted(tmp_path, lambda *_: fault)
    assert found["unreadable"] == {"no passages": 0, "first stage": 0, "reranked": 0}
    right = [question.answer for question in _questions(tmp_path)].count("A") / 2
    assert found["accuracy"]["reranked"]["mean"] == right


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (saying(None, reasoning_content='So it is {"answer": "A"}.'), "empty"),
        (Fault(content='{"answer": "A', finish="length"), "truncated"),
        (saying(None, refusal="I will not."), "refusal"),
        (saying("<think>I think and think"), "not_json"),
        (saying("B"), "not_json"),
        (saying('{"answer": "b"}'), "wrong_shape"),
        (saying('{"choice": "A"}'), "wrong_shape"),
        (saying([]), "empty"),
        (saying([{"type": "thinking", "thinking": [THOUGHT]}]), "empty"),
        (Fault(content="", finish="content_filter"), "refusal"),
        (Fault(content='{"answer": "A', finish="max_tokens"), "truncated"),
        (saying({"text": "A"}), "broken_body"),
    ],
)
def test_what_cannot_be_read_is_a_share_beside_the_accuracy(
    tmp_path: Path, fault: Fault, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One of the six questions is answered."""
    _, found, _ = run_scripted(tmp_path, lambda number, _: saying('{"answer": "A"}') if number == 1 else fault)
    assert found["unreadable_share"] == {"no passages": 0.5, "first stage": 1.0, "reranked": 1.0}
    assert found["unreadable_reasons"] == {reason: 5}
    assert (
        "count as wrong: no passages 50.0%, first stage 100.0%, reranked 100.0% (5 " + reason in capsys.readouterr().out
    )


def test_a_question_that_is_refused_counts_as_unreadable_and_stops_nothing(tmp_path: Path) -> None:
    refusal = Fault(400, '{"error": {"message": "prompt too long"}}')
    code, found, _ = run_scripted(
        tmp_path, lambda _, body: refusal if "[1]" in body["messages"][1]["content"] else saying('{"answer": "A"}')
    )
    assert code == 0
    assert found["unreadable"] == {"no passages": 0, "first stage": 2, "reranked": 2}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault(401, '{"error": {"message": "bad key"}}'), "refused the key"),
        (Fault(500, "oops", headers=SOON), "gave no reply (http_500: oops); the same command goes on from here"),
        (Fault(400, '{"error": {"message": "no such thing"}}'), "gave no reply (bad_request: no such thing)"),
        (Fault(body="<html>"), "sent no completion: <html>"),
    ],
)
def test_an_endpoint_that_cannot_answer_is_a_sentence(
    tmp_path: Path, fault: Fault, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found, _ = run_scripted(tmp_path, lambda *_: fault, "--answer-retries", "1", "--answer-concurrency", "4")
    assert (code, found) == (1, {})
    assert said in capsys.readouterr().err


def test_replies_of_an_older_journal_are_not_paid_for_again(tmp_path: Path) -> None:
    with ScriptedEndpoint(script=lambda *_: saying('<think>So.</think>{"answer": "A"}')) as scripted:
        assert main(arguments(tmp_path, scripted.url)) == 0
        asked = scripted.counts.requests
        (journal,) = (tmp_path / "out").rglob("answers.jsonl")
        rows = [json.loads(line) for line in journal.read_text().splitlines()]
        reply = '<think>So.</think>{"answer": "A"}'
        old = [{"key": row["key"], "question": row["question"], "reply": reply} for row in rows]
        journal.write_text("".join(json.dumps(row) + "\n" for row in old))
        assert main(arguments(tmp_path, scripted.url)) == 0
        assert scripted.counts.requests == asked
    (result,) = (tmp_path / "out").rglob("rag.json")
    assert sum(json.loads(result.read_text())["unreadable"].values()) == 0


def test_a_prompt_holds_passages_question_and_choices(tmp_path: Path) -> None:
    question = gpqa.load(DataSource("x", small_data.gpqa_folder(tmp_path)), "gpqa_diamond")[1]
    said = prompt(question, ["first passage", "second passage"])
    assert "[1] first passage\n[2] second passage" in said
    assert [line[:3] for line in said.splitlines()[-4:]] == ["A. ", "B. ", "C. ", "D. "]
    assert "Passages" not in prompt(question, [])


def _questions(tmp_path: Path) -> list[gpqa.Question]:
    return gpqa.load(DataSource("x", tmp_path / "gpqa"), "gpqa_diamond")
