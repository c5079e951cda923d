"""`limrank rerank QUERY FILE...`: prints a ranked table of files, or of the lines on standard input."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import uvloop
from pydantic import Field, model_validator
from pydantic_settings import CliPositionalArg, SettingsConfigDict

from app.connection import Target, connect, key_from, model_flags, note
from app.errors import ServiceFailed
from cli import settings as base
from cli.choices import ModeName
from cli.commands import Subcommand
from cli.environment import Program
from cli.errors import BadInput
from cli.output import table

PROGRAM = Program("limrank", "LIMRANK_RERANK_")
_LEAST_WIDTH = 40


class Rerank(base.Command):
    """Rank files, or lines of the standard input, by their relevance to a query."""

    model_config = SettingsConfigDict(
        env_prefix=PROGRAM.prefix,
        cli_avoid_json=True,
        cli_shortcuts={"as-json": "json"},
        cli_prog_name="limrank rerank",
    )

    query: CliPositionalArg[str] = Field(description="the query")
    files: CliPositionalArg[list[Path]] = Field(
        default=[], description="text files, each one a document; without any, each line of the standard input is one"
    )
    lines: bool = Field(default=False, description="each line of the files is a document")
    url: str | None = Field(default=None, description="a running service, such as http://127.0.0.1:8080")
    key_variable: str | None = Field(default=None, description="environment variable that holds the service's key")
    model: str | None = Field(default=None, description="folder, hub id or embedded model to load; default: embedded")
    mode: ModeName | None = Field(default=None, description="default: direct")
    reasoning_budget: int | None = Field(
        default=None,
        ge=0,
        description="adaptive mode: the most tokens to write for all documents together",
    )
    instruction: str | None = Field(default=None, description="what counts as relevant here")
    top: int | None = Field(default=None, ge=1, description="show the best N only")
    show: Literal["reasoning"] | None = Field(
        default=None, description="reasoning: print the reasoning for each result"
    )
    as_json: bool = Field(default=False, description="print the service's answer as JSON")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.show == "reasoning" and self.mode == "direct":
            raise ValueError("--show reasoning needs --mode reasoning or adaptive: in direct mode nothing is written")
        if self.reasoning_budget is not None and self.mode != "adaptive":
            raise ValueError("--reasoning-budget is for --mode adaptive; --mode reasoning writes about every document")
        if self.url is not None and self.model is not None:
            raise ValueError("--url and --model contradict each other: a running service has its own model")
        return self


@dataclass(frozen=True, slots=True)
class Document:
    """A text and its origin: a file name, or the number of a line."""

    origin: str
    text: str


def rerank(settings: Rerank) -> str:
    """Ranks the documents and returns the text to print."""
    documents = _documents(settings)
    answer = uvloop.run(_ask(settings, documents))
    for warning in answer.get("meta", {}).get("warnings", ()):
        note(f"limrank rerank: {warning}")
    return _json(answer, documents) if settings.as_json else _table(answer["results"], documents)


def _documents(settings: Rerank) -> list[Document]:
    if not settings.files:
        if sys.stdin.isatty():
            raise BadInput("There is nothing to rank: name files, or give one document a line on the standard input.")
        found = _lines("", _decoded("the standard input", sys.stdin.buffer.read()))
    else:
        found = [document for path in settings.files for document in _of_file(path, settings.lines)]
    if not found:
        raise BadInput("There is nothing to rank: the input holds no line that is not blank.")
    return found


def _of_file(path: Path, lines: bool) -> list[Document]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}); name text files.") from None
    text = _decoded(str(path), content)
    if lines:
        return _lines(f"{path}:", text)
    if not text.strip():
        raise BadInput(f"{path} is empty; leave it out.")
    return [Document(str(path), text)]


def _lines(origin: str, text: str) -> list[Document]:
    return [Document(f"{origin}{number}", line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]


def _decoded(name: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{name} is no text in UTF-8 (byte {error.start}); convert it first.") from None


async def _ask(settings: Rerank, documents: Sequence[Document]) -> dict[str, Any]:
    target = Target(url=settings.url, key=key_from(settings.key_variable), flags=model_flags(model=settings.model))
    mode = settings.mode or ("reasoning" if settings.show == "reasoning" else None)
    body = {
        "query": settings.query,
        "documents": [document.text for document in documents],
        "top_n": settings.top,
        "mode": mode,
        "reasoning_budget": settings.reasoning_budget,
        "instruction": settings.instruction,
        "return_reasoning": settings.show == "reasoning",
    }
    async with connect(target) as connection:
        answer = await connection.client.post("/v1/rerank", content=json.dumps(body))
    content = answer.json()
    if answer.status_code != 200:
        raise ServiceFailed(str(content.get("message", content)))
    return dict(content)


def _json(answer: dict[str, Any], documents: Sequence[Document]) -> str:
    for result in answer["results"]:
        document = documents[result["index"]]
        result["origin"], result["document"] = document.origin, {"text": document.text}
    return json.dumps(answer, ensure_ascii=False, indent=2)


def _table(results: Sequence[dict[str, Any]], documents: Sequence[Document]) -> str:
    """One row per result; the model's reasoning follows it when asked for."""
    heads = [("rank", "relevance", "from")]
    rows = [
        (str(rank), f"{result['relevance_score']:.4f}", documents[result["index"]].origin)
        for rank, result in enumerate(results, 1)
    ]
    begun = table([*heads, *rows]).split("\n")
    start = max(map(len, begun)) + 2
    width = max(_LEAST_WIDTH, shutil.get_terminal_size().columns - start)
    lines = [f"{begun[0]:{start}}text"]
    for line, result in zip(begun[1:], results, strict=True):
        lines.append(f"{line:{start}}{_beginning(documents[result['index']].text, width)}")
        if (reasoning := result.get("reasoning")) is not None:
            lines += textwrap.wrap(
                reasoning["text"], start + width - 6, initial_indent=" " * 6, subsequent_indent=" " * 6
            )
    return "\n".join(lines)


def _beginning(text: str, width: int) -> str:
    line = " ".join(text[: 4 * width].split())
    return line if len(line) <= width else line[: width - 3].rstrip() + "..."


COMMAND = Subcommand("rerank", Rerank, rerank)
