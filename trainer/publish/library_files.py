"""Files with which the real Sentence Transformers loads a merged causal checkpoint, written where they are exact."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from contract.checkpoint.logit_score_files import chat_template, unwritable, write_logit_score_files
from contract.formats.seams import random_text
from contract.segments import Segments

PROVEN_TEXTS = 200


def write_library_files(folder: Path, segments: Segments) -> str | None:
    """Writes LogitScore files into a checkpoint's folder if the template as one string has our ids on 200 texts.

    Returns why they were not written, or None.
    """
    if (reason := unwritable(segments.format)) is not None:
        return reason
    if (reason := _difference(folder, segments)) is not None:
        return reason
    write_logit_score_files(folder, segments.format, segments.verdict)
    return None


def _difference(folder: Path, segments: Segments) -> str | None:
    """Where the ids of the library's way to write a prompt differ from ours; None where they never do."""
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        return f"transformers cannot load its tokenizer ({(str(error).splitlines() or ['no reason given'])[0]})"
    template = chat_template(segments.format)
    for query, document, instruction in _texts(segments):
        ours = segments.context(segments.prompt_ids(query, document, instruction))
        theirs = _rendered_ids(tokenizer, template, query, document, instruction or segments.format.default_instruction)
        if theirs != ours:
            at = next(i for i in range(len(ours) + 1) if ours[: i + 1] != theirs[: i + 1])
            found, expected = (segments.tokenizer.decode(ids[at : at + 3], False) for ids in (theirs, ours))
            return (
                f"written as one string the prompt has other ids than in its parts ({found!r} where {expected!r} is "
                f"expected, with the document {document[:40]!r})"
            )
    return None


def _texts(segments: Segments) -> Iterator[tuple[str, str, str | None]]:
    """Queries, documents and instructions (every other one None) without strings that our prompts break up."""
    choose, made = random.Random(3), 0  # noqa: S311 - texts to try
    while made < PROVEN_TEXTS:
        query, document = random_text(choose), random_text(choose)
        instruction = random_text(choose) or None if made % 2 else None
        if any(segments.prompt.control_string(text) for text in (query, document, instruction or "")):
            continue
        made += 1
        yield query, document, instruction


def _rendered_ids(tokenizer: Any, template: str, query: str, document: str, instruction: str | None) -> list[int]:
    texts = (("system", instruction), ("query", query), ("document", document))
    messages = [{"role": role, "content": [{"type": "text", "text": text}]} for role, text in texts if text is not None]
    ids: list[int] = tokenizer.apply_chat_template(
        messages, chat_template=template, add_generation_prompt=True, tokenize=True, return_dict=False
    )
    return list(ids)
