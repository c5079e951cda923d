"""Markdown as sections: CommonMark with tables becomes HTML, and that is read as any page."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from markdown_it import MarkdownIt

from app.tune.documents.document import Document, first_heading, sections_of
from app.tune.documents.markup import html_parts

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?\n)(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_TITLE = re.compile(r"""^title:[ \t]*["']?(.+?)["']?[ \t]*$""", re.MULTILINE)
# Lines that give orders to a site's generator: admonitions, directives, templates, JSX imports, attributes.
_ORDERS = re.compile(
    r"^[ \t]*(?:(?:!!!|\?\?\?\+?|///|:::)[^\n]*|\{[%#][^\n]*[%#]\}|(?:import|export) [^\n]* from [^\n]*)$", re.MULTILINE
)
_ATTRIBUTES = re.compile(r"(?<![ \t])[ \t]*(?<!\{)\{\s*[:.#][^{}\n]*\}[ \t]*$", re.MULTILINE)


def markdown_document(name: str, text: str) -> Document:
    """Raises `Unreadable`."""
    front = _FRONT_MATTER.match(text)
    stated = _TITLE.search(front.group(1)) if front else None
    body = _ATTRIBUTES.sub("", _ORDERS.sub("", text[front.end() :] if front else text))
    parts = html_parts(MarkdownIt("commonmark").enable("table").render(body))
    title = first_heading(parts) or (stated.group(1) if stated else "") or PurePosixPath(name).stem
    return Document(name, title, sections_of(parts, title))
