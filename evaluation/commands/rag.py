"""`limrank-eval rag`: does reranking help a model to answer? Retrieve, rerank, answer, match the choice (GPQA)."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import Field
from tqdm import tqdm  # type: ignore[import-untyped]  # it ships no types

from evaluation.answering import Answerer
from evaluation.benchmarks import gpqa
from evaluation.benchmarks.data_source import DataSource
from evaluation.benchmarks.gpqa import Question
from evaluation.benchmarks.task import Protocol, Query, Task, sampled
from evaluation.commands.rank import forget_not_run, not_run, slug
from evaluation.errors import BadSettings, NotAvailable, missing_is_not_available
from evaluation.first_stage import candidates
from evaluation.result import made, write_json
from evaluation.scorers.open import open_scorer
from evaluation.scoring import ranking, score_all
from evaluation.settings import Scoring
from evaluation.significance import interval, paired
from retrieval.beir import Document, read_documents
from retrieval.rejects import Refusing
from retrieval.trec import Run

ARMS = ("no passages", "first stage", "reranked")


class RagSettings(Scoring):
    """Accuracy of a model on GPQA without passages, with the first stage's, and with reranked ones."""

    out: Path = Field(description="folder for results; the same folder goes on where it stopped")
    passages: Path = Field(description="BEIR folder or corpus.jsonl to retrieve from")
    data: Path | None = Field(default=None, description="folder with GPQA in the hub's layout; default: the hub")
    config: str = Field(default="gpqa_diamond", description="gpqa_diamond, gpqa_main or gpqa_extended")
    questions: int | None = Field(default=None, ge=1, description="so many questions, drawn by the hash of their ids")
    depth: int = Field(default=50, ge=1, description="candidates per question")
    first_stage: str | None = Field(default=None, description="as for `run`; default: search:bm25")
    shown: int = Field(default=5, ge=1, description="passages that the answering model is shown")
    answer_url: str = Field(description="OpenAI-compatible endpoint, such as http://127.0.0.1:8000/v1")
    answer_model: str = Field(description="model that answers")
    answer_key_variable: str | None = Field(default=None, description="environment variable that holds its key")


def act(settings: RagSettings) -> str:
    """Evaluate; what came out, as lines for a person."""
    name = f"gpqa/{settings.config}"
    try:
        asked = gpqa.load(DataSource(gpqa.HUB, settings.data), settings.config)
        task = _task(name, asked, settings.passages)
    except NotAvailable as error:
        return not_run(settings.out, "gpqa", name, str(error))
    forget_not_run(settings.out, name)
    queries = sampled(task.queries, settings.questions)
    found, stage = candidates(task, queries, settings.first_stage, settings.depth)
    with open_scorer(settings, settings.out) as scorer:
        folder = settings.out / slug(name) / f"{slug(stage)}-{settings.depth}" / slug(scorer.name)
        scored, _ = score_all(
            task, queries, found, scorer, folder, documents_per_call=settings.documents_per_call, out=sys.stderr
        )
        identity = dict(scorer.identity())
    shown = _shown(task, queries, found, ranking(scored), settings.shown)
    answers = _answers(settings, folder, {one.id: one for one in asked}, shown)
    result = {
        "kind": "rag",
        "benchmark": "gpqa",
        "task": name,
        "scorer": scorer.name,
        "identity": identity,
        "protocol": {
            "source": DataSource(gpqa.HUB, settings.data).name,
            "first_stage": stage,
            "depth": settings.depth,
            "shown": settings.shown,
            "passages": settings.passages.name,
            "answered_by": settings.answer_model,
            "answered_at": settings.answer_url,
            "query": "the question without its choices, no instruction",
        },
        **_figures(answers, {one.id: one.answer for one in asked}),
        "made": made(),
    }
    write_json(folder / "rag.json", result)
    return rag_line(result)


def rag_line(result: Mapping[str, Any]) -> str:
    """One line for the terminal."""
    arms = ", ".join(f"{arm} {figure['mean']:.1%}" for arm, figure in result["accuracy"].items())
    return (
        f"{result['task']} ({result['questions']} questions, {result['scorer']}): accuracy {arms}; reranked against "
        f"first stage p = {result['reranked_against_first_stage']['p_randomization']:.4f}"
    )


def _task(name: str, questions: Sequence[Question], passages: Path) -> Task:
    path = passages / "corpus.jsonl" if passages.is_dir() else passages
    return Task(
        name=name,
        queries=tuple(Query(id=one.id, text=one.text) for one in questions),
        documents={document.id: document.passage for document in _documents(path)},
        qrels={},
        protocol=Protocol(source=gpqa.HUB, licence="CC-BY-4.0", split="train", query="", passage=""),
    )


def _documents(path: Path) -> Iterator[Document]:
    with missing_is_not_available():
        yield from read_documents(path, Refusing(), empty=True)


def _shown(
    task: Task, queries: Sequence[Query], found: Run, order: Mapping[str, Sequence[str]], count: int
) -> dict[str, dict[str, list[str]]]:
    """arm -> question -> the passages shown."""
    texts = task.documents
    return {
        "no passages": {query.id: [] for query in queries},
        "first stage": {query.id: [texts[one] for one in list(found[query.id])[:count]] for query in queries},
        "reranked": {query.id: [texts[one] for one in order[query.id][:count]] for query in queries},
    }


def _answers(
    settings: RagSettings, folder: Path, questions: Mapping[str, Question], shown: Mapping[str, Mapping[str, list[str]]]
) -> dict[str, dict[str, str | None]]:
    answerer = Answerer(
        settings.answer_url,
        settings.answer_model,
        folder / "answers.jsonl",
        key=_key(settings.answer_key_variable),
        timeout_seconds=settings.timeout_seconds,
    )
    try:
        bar = tqdm(total=sum(map(len, shown.values())), desc="answers", unit="question", mininterval=1.0)
        answers: dict[str, dict[str, str | None]] = {}
        for arm, by_question in shown.items():
            for question, passages in by_question.items():
                answers.setdefault(arm, {})[question] = answerer.answer(questions[question], passages)
                bar.update()
        bar.close()
        return answers
    finally:
        answerer.close()


def _figures(answers: Mapping[str, Mapping[str, str | None]], right: Mapping[str, str]) -> dict[str, Any]:
    correct = {
        arm: {question: float(letter == right[question]) for question, letter in found.items()}
        for arm, found in answers.items()
    }
    return {
        "questions": len(answers[ARMS[0]]),
        "accuracy": {arm: asdict(interval(list(found.values()))) for arm, found in correct.items()},
        "unreadable": {arm: sum(letter is None for letter in found.values()) for arm, found in answers.items()},
        "reranked_against_first_stage": asdict(paired(correct["reranked"], correct["first stage"])),
        "reranked_against_none": asdict(paired(correct["reranked"], correct["no passages"])),
    }


def _key(variable: str | None) -> str | None:
    if variable is None:
        return None
    if not os.environ.get(variable):
        raise BadSettings(f"--answer-key-variable names {variable}, which is not set; put the endpoint's key into it.")
    return os.environ[variable]
