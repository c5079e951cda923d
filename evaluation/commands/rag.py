"""`limrank-eval rag`: does reranking help a model to answer? Retrieves, reranks, answers, and matches the choice
(GPQA)."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Literal

from pydantic import Field
from tqdm import tqdm

from evaluation.answering import Answered, Answerer
from evaluation.benchmarks import gpqa
from evaluation.benchmarks.compared import compared_by_reading
from evaluation.benchmarks.data_source import DataSource
from evaluation.benchmarks.gpqa import Question
from evaluation.benchmarks.task import Protocol, Query, Task, sampled
from evaluation.commands.rank import forget_not_run, not_run, slug
from evaluation.errors import BadSettings, NotAvailable, missing_is_not_available
from evaluation.first_stage import candidates
from evaluation.reports.lines import answers_line
from evaluation.results.answers import ARMS, AnswersProtocol, AnswersResult
from evaluation.results.files import made, write_json
from evaluation.scorers.open import open_scorer
from evaluation.scoring import ranking, score_all
from evaluation.settings import Scoring
from evaluation.significance import interval, paired
from llm.endpoint import Endpoint
from retrieval.beir import Document, read_documents
from retrieval.rejects import Refusing
from retrieval.trec import Run


class RagSettings(Scoring):
    """Accuracy of a model on GPQA without passages, with the first stage's, and with reranked ones."""

    out: Path = Field(description="folder for results; the same folder resumes a stopped run")
    passages: Path = Field(description="BEIR folder or corpus.jsonl to retrieve from")
    data: Path | None = Field(default=None, description="folder with GPQA in the hub's layout; default: the hub")
    config: str = Field(default="gpqa_diamond", description="gpqa_diamond, gpqa_main or gpqa_extended")
    questions: int | None = Field(default=None, ge=1, description="number of questions, drawn by the hash of their ids")
    depth: int = Field(default=50, ge=1, description="candidates per question")
    first_stage: str | None = Field(default=None, description="as for `run`; default: search:bm25")
    shown: int = Field(default=5, ge=1, description="passages that the answering model is shown")
    answer_url: str = Field(description="OpenAI-compatible endpoint, such as http://127.0.0.1:8000/v1")
    answer_model: str = Field(description="model that answers")
    answer_key_variable: str | None = Field(default=None, description="environment variable that holds its key")
    answer_temperature: float | Literal["none"] = Field(
        default=0.0, description="its temperature; none: send none, which is automatic when it is refused"
    )
    answer_max_tokens: int | None = Field(
        default=None, ge=16, description="its longest reply in tokens, reasoning included; default: its own limit"
    )
    answer_max_tokens_name: Literal["max_tokens", "max_completion_tokens"] = Field(
        default="max_tokens", description="name of that limit in its requests"
    )
    answer_retries: int = Field(
        default=5, ge=0, le=50, description="retries of a question after 429, 5xx, a timeout or a broken connection"
    )
    answer_concurrency: int = Field(default=1, ge=1, description="questions at a time")

    def endpoint(self) -> Endpoint:
        """The endpoint of the answering model. Raises `BadSettings` when its key is not in the environment."""
        variable = self.answer_key_variable
        if variable is not None and not os.environ.get(variable):
            raise BadSettings(
                f"--answer-key-variable names {variable}, which is not set; put the endpoint's key into it."
            )
        endpoint = Endpoint(
            base_url=self.answer_url,
            model=self.answer_model,
            key_variable=variable or "",
            temperature=None if self.answer_temperature == "none" else self.answer_temperature,
            max_tokens_name="",
            concurrency=self.answer_concurrency,
            retries=self.answer_retries,
            timeout=self.timeout_seconds,
        )
        if self.answer_max_tokens is None:
            return endpoint
        return endpoint.model_copy(
            update={"max_tokens": self.answer_max_tokens, "max_tokens_name": self.answer_max_tokens_name}
        )


def run(settings: RagSettings) -> str:
    """Run the command and return a summary."""
    name = f"gpqa/{settings.config}"
    endpoint = settings.endpoint()
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
    answers, temperature = asyncio.run(
        _answers(endpoint, folder / "answers.jsonl", {question.id: question for question in asked}, shown)
    )
    correct = _correct(answers, {question.id: question.answer for question in asked})
    unreadable = _unreadable(answers)
    result = AnswersResult(
        benchmark="gpqa",
        task=name,
        scorer=scorer.name,
        identity=identity,
        protocol=AnswersProtocol(
            source=DataSource(gpqa.HUB, settings.data).name,
            first_stage=stage,
            depth=settings.depth,
            shown=settings.shown,
            passages=settings.passages.name,
            answered_by=settings.answer_model,
            answered_at=settings.answer_url,
            temperature="none sent" if temperature is None else temperature,
            query="the question without its choices, no instruction",
        ),
        questions=len(answers[ARMS[0]]),
        accuracy={arm: interval(list(found.values())) for arm, found in correct.items()},
        unreadable={arm: len(reasons) for arm, reasons in unreadable.items()},
        unreadable_share={arm: len(reasons) / max(1, len(answers[arm])) for arm, reasons in unreadable.items()},
        unreadable_reasons=dict(Counter(chain.from_iterable(unreadable.values())).most_common()),
        reranked_against_first_stage=paired(correct["reranked"], correct["first stage"]),
        reranked_against_none=paired(correct["reranked"], correct["no passages"]),
        made=made(),
    )
    write_json(folder / "rag.json", result.to_json())
    return answers_line(result)


def _task(name: str, questions: Sequence[Question], passages: Path) -> Task:
    path = passages / "corpus.jsonl" if passages.is_dir() else passages
    task = Task(
        name=name,
        queries=tuple(Query(id=question.id, text=question.text, topic=question.id) for question in questions),
        documents={document.id: document.passage for document in _documents(path)},
        qrels={},
        protocol=Protocol(source=gpqa.HUB, licence="CC-BY-4.0", split="train", query="", passage=""),
    )
    return compared_by_reading(task)  # with a topic each question stays, even if another has the same text


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
        "first stage": {query.id: [texts[document] for document in list(found[query.id])[:count]] for query in queries},
        "reranked": {query.id: [texts[document] for document in order[query.id][:count]] for query in queries},
    }


async def _answers(
    endpoint: Endpoint, journal: Path, questions: Mapping[str, Question], shown: Mapping[str, Mapping[str, list[str]]]
) -> tuple[dict[str, dict[str, Answered]], float | None]:
    """arm -> question -> answer, and the temperature that was sent."""
    slots = asyncio.Semaphore(endpoint.concurrency)
    bar = tqdm(total=sum(map(len, shown.values())), desc="answers", unit="question", mininterval=1.0)

    async def answer(question: str, passages: Sequence[str]) -> Answered:
        async with slots:
            answered = await answerer.answer(questions[question], passages)
            bar.update()
            return answered

    async with Answerer(endpoint, journal) as answerer:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = {
                    arm: {name: group.create_task(answer(name, passages)) for name, passages in by_question.items()}
                    for arm, by_question in shown.items()
                }
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        finally:
            bar.close()
    answers = {arm: {name: task.result() for name, task in by_name.items()} for arm, by_name in tasks.items()}
    return answers, answerer.temperature


def _correct(answers: Mapping[str, Mapping[str, Answered]], right: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """arm -> question -> 1 for the right letter, else 0."""
    return {
        arm: {question: float(answered.letter == right[question]) for question, answered in by_question.items()}
        for arm, by_question in answers.items()
    }


def _unreadable(answers: Mapping[str, Mapping[str, Answered]]) -> dict[str, list[str]]:
    """arm -> why each reply without a choice was unreadable."""
    return {
        arm: [answered.unreadable for answered in by_question.values() if answered.letter is None]
        for arm, by_question in answers.items()
    }
