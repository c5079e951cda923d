"""All documents of a folder or a JSONL corpus, one at a time, and what was left out of it."""

from __future__ import annotations

import hashlib
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from app.tune.documents.decoding import decoded
from app.tune.documents.document import Document, Section, Unreadable
from app.tune.documents.plain import rst_document, text_document
from cli.errors import BadInput
from retrieval.beir import read_documents
from retrieval.rejects import Refusing

LARGEST_TEXT = 64 * 2**20  # bytes of a file that is held in memory as a whole
LARGEST_PDF = 256 * 2**20
_SHOWN = 12
_BREAKS = re.compile(r"[\t\r\n]")


@dataclass(slots=True)
class Source:
    """DOCUMENTS as it was found. `notes`: a sentence for each file that was left out or read in a guessed encoding."""

    path: Path
    notes: list[str] = field(default_factory=list)
    files: int = 0
    left_out: int = 0

    def documents(self) -> Iterator[Document]:
        """The documents in the order of their names. Raises `BadInput` where there are none to be had."""
        if not self.path.exists():
            raise BadInput(f"{self.path} does not exist; name a folder of documents, or a JSONL corpus.")
        if not self.path.is_dir():
            yield from self._corpus(self.path)
        elif (self.path / "corpus.jsonl").is_file():
            yield from self._corpus(self.path / "corpus.jsonl")
        else:
            yield from self._folder()

    def shown(self) -> list[str]:
        """The first notes, and how many there are beside."""
        more = len(self.notes) - _SHOWN
        return [*self.notes[:_SHOWN], *([f"... and {more} more of the like."] if more > 0 else [])]

    def _corpus(self, path: Path) -> Iterator[Document]:
        """A file of one kind of document is taken for a folder of one."""
        if path.suffix.lower() in _READERS:
            yield from self._files([path], path.parent)
            return
        for row in read_documents(path, Refusing()):
            self.files += 1
            headed = () if not row.title else (row.title,)
            yield Document(row.id, row.title, (Section(headed, row.text or row.title),))

    def _folder(self) -> Iterator[Document]:
        found = sorted(path for path in self.path.rglob("*") if _counts(path, self.path))
        known = [path for path in found if path.suffix.lower() in _READERS]
        if not known:
            kinds = ", ".join(sorted(_READERS))
            what = f"none of its {len(found)} files is of a kind that is read" if found else "it is empty"
            raise BadInput(f"{self.path} holds no documents: {what}; put files with the endings {kinds} there.")
        yield from self._files(known, self.path)

    def _files(self, paths: list[Path], root: Path) -> Iterator[Document]:
        names: set[str] = set()
        for path in paths:
            name = _unlike(_name(path.relative_to(root)), names)
            self.files += 1
            try:
                document, guessed = _read(name, path)
            except Unreadable as error:
                self.left_out += 1
                self.notes.append(f"{name} {error}.")
                continue
            if guessed:
                self.notes.append(f"{name} is not UTF-8 and was read as {guessed}.")
            yield document


def content_sum(source: Path) -> str:
    """A hash of the names and contents that are read of DOCUMENTS; empty where there is nothing."""
    corpus = source / "corpus.jsonl"
    if source.is_dir() and not corpus.is_file():
        files = sorted(path for path in source.rglob("*") if _counts(path, source) and path.suffix.lower() in _READERS)
    else:
        files = [corpus if source.is_dir() else source]
    lines = [f"{path.relative_to(source) if path != source else path.name} {_file_sum(path)}" for path in files]
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _file_sum(path: Path) -> str:
    try:
        if (size := path.stat().st_size) > _largest(path) and path.suffix.lower() in _READERS:
            return f"{size} bytes"  # not read either
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return str(error.strerror)


def _counts(path: Path, root: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
    return not hidden and not path.is_symlink() and path.is_file()


def _name(path: Path) -> str:
    """The path as an id: without what no file of ids can name, such as bytes that are no UTF-8."""
    text = path.as_posix().encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return _BREAKS.sub(" ", text)


def _unlike(name: str, names: set[str]) -> str:
    """The name, or with a number where another file has come to it already; it is added to `names`."""
    found, number = name, 1
    while found in names:
        number += 1
        found = f"{name} ({number})"
    names.add(found)
    return found


def _largest(path: Path) -> int:
    return LARGEST_PDF if path.suffix.lower() == ".pdf" else LARGEST_TEXT


def _read(name: str, path: Path) -> tuple[Document, str | None]:
    """The document, and its encoding where that was guessed. Raises `Unreadable`."""
    suffix = path.suffix.lower()
    largest = _largest(path)
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise Unreadable("is no regular file")
        if about.st_size > largest:
            raise Unreadable(
                f"has {about.st_size / 2**20:,.0f} MiB, more than the {largest >> 20} that are read; split it"
            )
        if suffix == ".pdf":
            from app.tune.documents.pdf import pdf_document

            return pdf_document(name, path), None
        text, guessed = decoded(path.read_bytes(), markup=suffix in _MARKUP)
    except OSError as error:
        raise Unreadable(f"cannot be read ({error.strerror or error})") from None
    return _READERS[suffix](name, text), guessed


def _markdown(name: str, text: str) -> Document:
    from app.tune.documents.markdown import markdown_document

    return markdown_document(name, text)


def _html(name: str, text: str) -> Document:
    from app.tune.documents.markup import html_document

    return html_document(name, text)


_MARKUP = frozenset({".html", ".htm", ".xhtml"})
_READERS: dict[str, Callable[[str, str], Document]] = {
    **dict.fromkeys((".md", ".markdown", ".mdx"), _markdown),
    **dict.fromkeys((".txt", ".text"), text_document),
    ".rst": rst_document,
    **dict.fromkeys(_MARKUP, _html),
    ".pdf": text_document,  # read from its bytes by `_read`
}
