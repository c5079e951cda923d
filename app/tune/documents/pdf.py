"""PDF files as documents: the text of their pages. The one importer of pypdf."""

from __future__ import annotations

import logging
import re
from pathlib import Path, PurePosixPath

from pypdf import PdfReader

from app.tune.documents.document import Document, Section, Unreadable

_LEAST_LETTERS = 100  # of a whole file; less is a page number on scanned pages
_HYPHEN = re.compile(r"(\w)-\n(\w)")
_BREAK = re.compile(r"(?<![.!?:;\n])\n(?!\n)")


def pdf_document(name: str, path: Path) -> Document:
    """Raises `Unreadable`: for a file that is broken, that needs a password, or that holds pictures of pages only."""
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it warns of each oddity of a file
    try:
        reader = PdfReader(path)
        pages = [page.extract_text() for page in reader.pages]
        stated = reader.metadata.title if reader.metadata else None
    except Exception as error:  # noqa: BLE001 - of files that are cut short or made wrongly pypdf raises any of many
        raise Unreadable(f"cannot be read as PDF ({str(error) or type(error).__name__})") from None
    text = "\n\n".join(map(_joined, pages))
    if sum(map(str.isalpha, text)) < _LEAST_LETTERS:
        raise Unreadable("holds no text: its pages are pictures; run OCR on it first")
    title = str(stated).encode("utf-8", "replace").decode().strip() if stated else ""
    return Document(name, title or PurePosixPath(name).stem, (Section((), text.strip()),))


def _joined(page: str) -> str:
    """The lines of a page as sentences: a word cut at the end of a line is whole again."""
    text = page.replace("\x00", "").encode("utf-8", "replace").decode()
    return _BREAK.sub(" ", _HYPHEN.sub(r"\1\2", text))
