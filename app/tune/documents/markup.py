"""HTML as sections: what a reader of the page sees of its main part, cut at its headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from bs4 import BeautifulSoup, Tag
from bs4.element import PreformattedString
from bs4.exceptions import ParserRejectedMarkup

from app.tune.documents.document import Document, Unreadable, first_heading, sections_of

_UNSEEN = (
    *("script", "style", "nav", "header", "footer", "aside", "form", "svg", "noscript", "template", "button", "iframe"),
    *("math", "object", "dialog", "head"),
)
_PERMALINKS = ".headerlink, .anchor, .toctree-wrapper, .sphinxsidebar, [aria-hidden=true], [hidden]"
_BLOCKS = (
    *(
        "p",
        "div",
        "section",
        "article",
        "ul",
        "ol",
        "dl",
        "table",
        "blockquote",
        "pre",
        "figure",
        "details",
        "dt",
        "dd",
    ),
    *("address", "hr", "main", "tbody", "thead"),
)
_LINES = ("li", "br", "tr", "summary", "caption")
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_MARK = re.compile("\x00([1-6])\x00(.*?)\x00", re.DOTALL)
_BLANKS = re.compile(r"\s+")
_SPACES = re.compile(r"[ \t]+")
_EMPTY_LINES = re.compile(r"\n{3,}")

Parts = list[tuple[int, str, str]]


def html_document(name: str, html: str) -> Document:
    """Raises `Unreadable`."""
    soup = _soup(html)
    title = _line(soup.title.get_text()) if soup.title else ""
    parts = _parts(soup)
    named = first_heading(parts) or title or PurePosixPath(name).stem
    return Document(name, named, sections_of(parts, named))


def html_parts(html: str) -> Parts:
    """(level, heading, text below it), as `sections_of` takes them. Raises `Unreadable`."""
    return _parts(_soup(html))


def _soup(html: str) -> BeautifulSoup:
    try:
        return BeautifulSoup(html, "html.parser")
    except (ParserRejectedMarkup, RecursionError, AssertionError) as error:
        raise Unreadable(f"cannot be read as HTML ({error})") from None


def _parts(soup: BeautifulSoup) -> Parts:
    for tag in [*soup.find_all(_UNSEEN), *soup.select(_PERMALINKS)]:
        if not tag.decomposed and tag.find("main") is None:
            tag.decompose()
    root = soup.find("main") or soup.select_one("[role=main]") or soup.find("article") or soup.find("body") or soup
    assert isinstance(root, Tag)
    _lay_out(root)
    return list(_cut(root.get_text()))


def _lay_out(root: Tag) -> None:
    """Puts line ends into the text where a page has them, and marks at its headings."""
    for text in list(root.find_all(string=True)):
        if isinstance(text, PreformattedString):  # comments, declarations
            text.extract()
        elif text.find_parent("pre") is None:
            text.replace_with(_BLANKS.sub(" ", text))
    for tag in root.find_all(_HEADINGS):
        heading = _line(tag.get_text())
        tag.clear()
        tag.append(f"\n\n\x00{tag.name[1]}\x00{heading}\x00\n\n" if heading else "\n\n")
    for tag in root.find_all(_BLOCKS):
        tag.insert(0, "\n\n")
        tag.append("\n\n")
    for tag in root.find_all(_LINES):
        tag.append("\n")
    for tag in root.find_all(("td", "th")):
        tag.append(" ")


def _cut(text: str) -> Iterator[tuple[int, str, str]]:
    pieces = _MARK.split(text)
    yield 0, "", _paragraphs(pieces[0])
    for level, heading, below in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True):
        yield int(level), heading, _paragraphs(below)


def _paragraphs(text: str) -> str:
    lines = (_SPACES.sub(" ", line).strip() for line in text.split("\n"))
    return _EMPTY_LINES.sub("\n\n", "\n".join(lines)).strip()


def _line(text: str) -> str:
    return _BLANKS.sub(" ", text.replace("\x00", "")).strip().rstrip("¶#").strip()
