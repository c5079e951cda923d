"""Few-shot queries for one document, in the style of the domain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from contract.records import Difficulty
from llm.base import Reply
from llm.replies import Answer, Text, read_answer
from synth.llm.stage import Role, Stage, data
from synth.llm.template import load_template

NEEDS = {
    Difficulty.DIRECT: "one thing that the document states.",
    Difficulty.MULTI_STEP: "two or more things that the document states in different places, put together.",
}


@dataclass(frozen=True, slots=True)
class Example:
    """A query as users of this domain write it, with the document that answers it if one is known."""

    query: str
    document: str | None = None


@dataclass(frozen=True, slots=True)
class DocumentRow:
    document: str
    examples: tuple[Example, ...]
    difficulty: Difficulty
    count: int


def _some(queries: list[str]) -> list[str]:
    if not queries:
        raise ValueError("no query")
    return queries


class Queries(Answer):
    queries: Annotated[list[Text], AfterValidator(_some)]


def queries_stage(templates: Path | None = None) -> Stage[DocumentRow, Queries]:
    """Raises `BadSettings` for an unsuitable template."""
    template = load_template("corpus_queries", ("document", "examples", "need", "count"), templates)
    return Stage("corpus.queries", Role.GENERATOR, template, Queries, _values, _read, usual_tokens=60)


def _values(row: DocumentRow) -> Mapping[str, str]:
    return {
        "document": data(row.document),
        "examples": "\n".join(_example(example) for example in row.examples),
        "need": NEEDS[row.difficulty],
        "count": "one search query" if row.count == 1 else f"{row.count} search queries",
    }


def _example(example: Example) -> str:
    shown = f"example query: {data(example.query)}"
    return f"example document: {data(example.document)}\n{shown}" if example.document else shown


def _read(reply: Reply) -> Queries:
    return read_answer(reply, Queries)
