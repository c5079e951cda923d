"""Retrieve, rerank, answer, match the choice: GPQA's schema, a scripted answering model, real files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluation.answering import prompt, read_choice
from evaluation.benchmarks import gpqa
from evaluation.benchmarks.data_source import DataSource
from evaluation.cli import main
from tests.evaluation import small_data
from tests.evaluation.answer_endpoint import endpoint


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
    assert read_choice(' {"answer": "C"}\n') == "C"
    for reply in ("C", '{"answer": "E"}', '{"answer": "B", "why": "so"}', "```json\n{}\n```", '{"answer": ["B"]}', ""):
        assert read_choice(reply) is None


def test_a_prompt_holds_passages_question_and_choices(tmp_path: Path) -> None:
    question = gpqa.load(DataSource("x", small_data.gpqa_folder(tmp_path)), "gpqa_diamond")[1]
    said = prompt(question, ["first passage", "second passage"])
    assert "[1] first passage\n[2] second passage" in said
    assert [line[:3] for line in said.splitlines()[-4:]] == ["A. ", "B. ", "C. ", "D. "]
    assert "Passages" not in prompt(question, [])


def _questions(tmp_path: Path) -> list[gpqa.Question]:
    return gpqa.load(DataSource("x", tmp_path / "gpqa"), "gpqa_diamond")
