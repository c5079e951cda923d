"""`limrank rerank QUERY FILE...`: prints a ranked table of files, or of the lines on standard input."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, Self

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
LARGEST = 256 * 2**20  # bytes of a file or of the standard input
_UNSEEN = {code: " " for code in range(0xA0) if not chr(code).isprintable()}  # which a terminal takes for orders


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
    results = answer.get("results")
    if not isinstance(results, list) or not all(_is_result(each, len(documents)) for each in results):
        raise ServiceFailed("The answer is no ranking of these documents; is the address that of limrank-serve?")
    meta = answer.get("meta")
    for warning in (meta.get("warnings") or ()) if isinstance(meta, dict) else ():
        note(f"limrank rerank: {warning}")
    return _json(answer, documents) if settings.as_json else _table(results, documents)


def _is_result(result: Any, documents: int) -> bool:
    if not isinstance(result, dict):
        return False
    index, score, reasoning = result.get("index"), result.get("relevance_score"), result.get("reasoning")
    return (
        isinstance(index, int)
        and 0 <= index < documents
        and isinstance(score, int | float)
        and (reasoning is None or (isinstance(reasoning, dict) and isinstance(reasoning.get("text"), str)))
    )


def _documents(settings: Rerank) -> list[Document]:
    if not settings.files:
        if sys.stdin is None or sys.stdin.isatty():  # None: closed by the caller
            raise BadInput("There is nothing to rank: name files, or give one document a line on the standard input.")
        found = _lines("", _decoded("the standard input", _content("the standard input", sys.stdin.buffer)))
    else:
        found = [document for path in settings.files for document in _of_file(path, settings.lines)]
    if not found:
        raise BadInput("There is nothing to rank: the input holds no line that is not blank.")
    return found


def _of_file(path: Path, lines: bool) -> list[Document]:
    try:
        with path.open("rb") as file:
            content = _content(str(path), file)
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}); name text files.") from None
    text = _decoded(str(path), content)
    if lines:
        return _lines(f"{path}:", text)
    if not text.strip():
        raise BadInput(f"{path} is empty; leave it out.")
    return [Document(str(path), text)]


def _lines(origin: str, text: str) -> list[Document]:
    """Lines end where an editor ends them, not at every sign that Unicode calls a separator."""
    listed = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return [Document(f"{origin}{number}", line) for number, line in enumerate(listed, 1) if line.strip()]


def _content(name: str, file: IO[bytes]) -> bytes:
    """All of a file; what never ends, or fits into no call, is not read to its end."""
    content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise BadInput(
            f"{name} has more than the {LARGEST >> 20} MiB that are read; name files that one call can hold."
        )
    return content


def _decoded(name: str, content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{name} is no text in UTF-8 (byte {error.start}); convert it first.") from None
    if (zero := text.find("\x00")) >= 0:
        raise BadInput(
            f"{name} is no text (it holds zero bytes, the first at character {zero}); leave it out, or convert it."
        )
    return text


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
        return await connection.ask("/v1/rerank", body)


def _json(answer: dict[str, Any], documents: Sequence[Document]) -> str:
    for result in answer["results"]:
        document = documents[result["index"]]
        result["origin"], result["document"] = document.origin, {"text": document.text}
    text = json.dumps(answer, ensure_ascii=False, indent=2)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:  # a file's name in bytes that are no UTF-8, or a terminal without all signs
        return json.dumps(answer, indent=2)
    return text


def _table(results: Sequence[dict[str, Any]], documents: Sequence[Document]) -> str:
    """One row per result; the model's reasoning follows it when asked for."""
    heads = [("rank", "relevance", "from")]
    rows = [
        (str(rank), f"{result['relevance_score']:.4f}", _plain(documents[result["index"]].origin))
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
                _plain(reasoning["text"]), start + width - 6, initial_indent=" " * 6, subsequent_indent=" " * 6
            )
    return "\n".join(lines)


def _plain(text: str) -> str:
    return text.translate(_UNSEEN)


def _beginning(text: str, width: int) -> str:
    line = " ".join(_plain(text[: 4 * width]).split())
    return line if len(line) <= width else line[: width - 3].rstrip() + "..."


COMMAND = Subcommand("rerank", Rerank, rerank)
