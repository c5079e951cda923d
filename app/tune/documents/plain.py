"""Plain text and reStructuredText as sections: a line with a rule of signs below it is a heading."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from app.tune.documents.document import Document, first_heading, sections_of

_RULE = re.compile(r"""([=\-~^"'#*+.:_`])\1{2,}\s*""")
_DIRECTIVE = re.compile(r"^\s*(?:\.\.(?:\s|$)|:[\w-]+:(?:\s|$)|__\s)")
_IS_RST = re.compile(r"^[ \t]*\.\. [\w-]+::", re.MULTILINE)
_ROLE = re.compile(r":[\w:+.-]{1,80}:`(?:[^`<]*?<)?[~!]?([^`<>]+)>?`")  # bounded: a long run is looked at once
_LINK = re.compile(r"`([^`<]*[^`<\s])\s*<[^`>]*>`_{0,2}")
_TICKS = re.compile(r"`{1,2}([^`\n]+)`{1,2}_{0,2}")
_LONGEST_HEADING = 120


def text_document(name: str, text: str) -> Document:
    """A text without marks, or with headings underlined. One with directives is reStructuredText."""
    return rst_document(name, text) if _IS_RST.search(text) else _document(name, text)


def rst_document(name: str, text: str) -> Document:
    """reStructuredText, without its directives, options, comments and roles. What stands below a directive stays."""
    lines = [line for line in text.split("\n") if not _DIRECTIVE.match(line)]
    bare = _TICKS.sub(r"\1", _LINK.sub(r"\1", _ROLE.sub(r"\1", "\n".join(lines))))
    return _document(name, bare.replace("::\n", ":\n"))


def _document(name: str, text: str) -> Document:
    parts = list(_parts([line.rstrip() for line in text.expandtabs(4).split("\n")]))
    title = first_heading(parts) or PurePosixPath(name).stem
    return Document(name, title, sections_of(parts, title))


def _parts(lines: list[str]) -> Iterator[tuple[int, str, str]]:
    levels: dict[str, int] = {}
    level, heading, below = 0, "", list[str]()
    place = 0
    while place < len(lines):
        sign = _heading_sign(lines, place)
        if sign:
            yield level, heading, "\n".join(below)
            level, heading, below = levels.setdefault(sign, len(levels) + 1), lines[place].strip(), []
            place += 2
            continue
        if not _RULE.fullmatch(lines[place]):
            below.append(lines[place].strip())
        place += 1
    yield level, heading, "\n".join(below)


def _heading_sign(lines: list[str], place: int) -> str:
    """The sign that the line is underlined with; empty where it is no heading."""
    line = lines[place].strip()
    rule = _RULE.fullmatch(lines[place + 1]) if place + 1 < len(lines) else None
    if rule is None or not line or len(line) > _LONGEST_HEADING or _RULE.fullmatch(lines[place]):
        return ""
    before = lines[place - 1] if place else ""
    if before and not _RULE.fullmatch(before):
        return ""
    return rule.group(1) if len(rule.group().strip()) >= min(len(line), 3) and any(map(str.isalpha, line)) else ""
