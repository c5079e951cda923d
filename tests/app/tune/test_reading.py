"""Documents of every kind become sections with headings, and what cannot be read is told in one sentence."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest
from pypdf import PdfWriter
from pypdf.errors import DependencyError

from app.tune.documents.document import Document, Section
from app.tune.documents.reading import LARGEST_TEXT, Source, content_sum
from cli.errors import BadInput
from tests.app.tune.material import pdf_bytes

TEXT = "The pond wants water in summer, when the sun dries it out and the frogs complain about it."


def read(path: Path) -> tuple[list[Document], list[str]]:
    source = Source(path)
    return list(source.documents()), source.notes


def one(folder: Path, name: str, content: str | bytes) -> Document:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    (document,), notes = read(folder)
    assert notes == []
    return document


def test_markdown(tmp_path: Path) -> None:
    text = (
        "---\ntitle: 'Ponds'\n---\n\n!!! note\n\n# Ponds { .big }\n\nOn *ponds* and [water](x.md).\n\n"
        "## Filling `it`\n\n- with rain\n- with **tap water**\n\n```sh\nfill  --now\n```\n\n"
        "| a | b |\n|---|---|\n| 1 | 2 |\n\n"
        "### Slowly\n\nTake time.\n<!-- a comment --><script>no()</script>\n\n## Emptying\n\nPull the plug.\n"
    )
    document = one(tmp_path, "pond.md", text)
    assert document.title == "Ponds"
    assert [section.headings for section in document.sections] == [
        (),
        ("Filling it",),
        ("Filling it", "Slowly"),
        ("Emptying",),
    ]
    assert document.sections[0].text == "On ponds and water."
    filling = document.sections[1].text
    assert "with rain\nwith tap water" in filling
    assert "fill --now" in filling
    assert "1 2" in filling
    assert document.sections[2].text == "Take time."


def test_html_shows_what_a_reader_of_its_main_part_sees(tmp_path: Path) -> None:
    html = (
        "<html><head><title>Site</title><style>p {}</style></head><body><nav>Menu</nav><header>Top</header>"
        "<main><h1>Ponds<a class=headerlink>¶</a></h1><p>One\n  two<br>three</p>"
        "<h2>Fish</h2><div>Carp</div><div>Pike</div>"
        "<p hidden>no</p></main><footer>End</footer></body></html>"
    )
    document = one(tmp_path, "pond.html", html)
    assert document == Document(
        "pond.html", "Ponds", (Section((), "One two\nthree"), Section(("Fish",), "Carp\n\nPike"))
    )


def test_html_of_any_depth(tmp_path: Path) -> None:
    assert one(tmp_path, "deep.html", "<div>" * 1000 + "here" + "</div>" * 1000).sections[0].text == "here"


def test_text_with_rules_below_its_headings(tmp_path: Path) -> None:
    text = (
        "=====\nPonds\n=====\n\nOn ponds.\n\nFish\n----\n\nCarp\nand pike.\n\n---\n\n"
        "Filling\n-------\nRain\n~~~~\nFalls.\n"
    )
    document = one(tmp_path, "pond.txt", text)
    assert document.title == "Ponds"
    assert [(section.headings, section.text) for section in document.sections] == [
        ((), "On ponds."),
        (("Fish",), "Carp\nand pike."),
        (("Filling", "Rain"), "Falls."),
    ]


def test_restructured_text_without_its_orders(tmp_path: Path) -> None:
    text = (
        "Ponds\n=====\n\n.. note::\n   :class: x\n\n   Mind the :func:`frog.croak` and ``x``; see `here <http://a>`_.\n"
    )
    assert one(tmp_path, "pond.rst", text).sections[0].text == "Mind the frog.croak and x; see here."


def test_pdf(tmp_path: Path) -> None:
    document = one(tmp_path, "pond.pdf", pdf_bytes(TEXT * 2))
    assert document.title == "pond"
    assert document.sections[0].text.startswith("The pond wants water")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (TEXT.encode("utf-16"), TEXT),
        (TEXT.encode("utf-32"), TEXT),
        (b"\xef\xbb\xbf" + TEXT.encode(), TEXT),
        ("<meta charset=iso-8859-2><p>gęś</p>".encode("iso-8859-2"), "gęś"),
    ],
)
def test_encodings_that_say_what_they_are(content: bytes, expected: str, tmp_path: Path) -> None:
    assert one(tmp_path, "a.html", content).sections[0].text == expected


def test_each_file_that_is_left_out_or_guessed_at_has_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "good.md").write_text("# Good\n\n" + TEXT, encoding="utf-8")
    (tmp_path / "latin.txt").write_bytes("Der Gärtner gießt die Bäume.".encode("cp1252"))
    (tmp_path / "scan.pdf").write_bytes(pdf_bytes(""))
    (tmp_path / "torn.pdf").write_bytes(pdf_bytes(TEXT)[:200])
    (tmp_path / "no.txt").write_bytes(b"a\x00b" * 100)
    with (tmp_path / "huge.md").open("wb") as file:
        os.truncate(file.fileno(), 2 * 2**30)  # takes no room
    (tmp_path / ".hidden.md").write_text("no", encoding="utf-8")
    (tmp_path / "link.md").symlink_to(tmp_path / "good.md")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    documents, notes = read(tmp_path)
    assert [document.id for document in documents] == ["good.md", "latin.txt"]
    assert "Gärtner gießt die Bäume" in documents[1].sections[0].text
    assert notes == [
        f"huge.md has 2,048 MiB, more than the {LARGEST_TEXT >> 20} that are read; split it.",
        "latin.txt is not UTF-8 and was read as Windows-1252.",
        "no.txt is no text (it holds zero bytes).",
        "scan.pdf holds no text: its pages are pictures; run OCR on it first.",
        notes[4],
    ]
    assert notes[4].startswith("torn.pdf cannot be read as PDF (")
    before = content_sum(tmp_path)
    assert content_sum(tmp_path) == before
    (tmp_path / "good.md").write_text("# Other\n\n" + TEXT, encoding="utf-8")
    assert content_sum(tmp_path) != before


def test_names_that_no_file_of_ids_can_hold(tmp_path: Path) -> None:
    for name in (b"caf\xe9.md", b"two\nlines.md"):
        (tmp_path / os.fsdecode(name)).write_text(TEXT, encoding="utf-8")
    documents, _ = read(tmp_path)
    assert [document.id for document in documents] == ["caf\ufffd.md", "two lines.md"]
    assert content_sum(tmp_path)


def test_files_whose_names_become_one_id_stay_apart(tmp_path: Path) -> None:
    for name in (b"caf\xe8.md", b"caf\xe9.md", b"caf\xea.md"):
        (tmp_path / os.fsdecode(name)).write_text(TEXT + os.fsdecode(name).encode("utf-8", "replace").decode())
    documents, _ = read(tmp_path)
    assert [document.id for document in documents] == ["caf\ufffd.md", "caf\ufffd.md (2)", "caf\ufffd.md (3)"]


def test_a_pdf_that_is_cut_or_changed_anywhere_is_a_document_or_a_sentence(tmp_path: Path) -> None:
    whole = pdf_bytes(TEXT * 2)
    for number, place in enumerate(range(0, len(whole), 23)):
        (tmp_path / f"{number}-cut.pdf").write_bytes(whole[:place])
        (tmp_path / f"{number}-zeros.pdf").write_bytes(whole[:place] + bytes(9) + whole[place + 9 :])
        (tmp_path / f"{number}-digits.pdf").write_bytes(whole[:place] + b"9 0 R 9 9" + whole[place + 9 :])
    documents, notes = read(tmp_path)
    assert len(documents) + len(notes) == 3 * (number + 1)
    assert documents
    assert all(" cannot be read as PDF (" in note or " holds no text" in note for note in notes)


@pytest.mark.parametrize("error", [DependencyError("cryptography is required"), ZeroDivisionError("by zero")])
def test_whatever_pypdf_raises_is_a_sentence(error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> None:
        raise error

    monkeypatch.setattr("app.tune.documents.pdf.PdfReader", fail)
    (tmp_path / "a.pdf").write_bytes(b"%PDF")
    assert read(tmp_path) == ([], [f"a.pdf cannot be read as PDF ({error})."])


def test_a_pdf_with_a_password(tmp_path: Path) -> None:
    writer = PdfWriter(clone_from=io.BytesIO(pdf_bytes(TEXT * 2)))
    writer.encrypt("secret", algorithm="RC4-128")
    writer.write(tmp_path / "locked.pdf")
    documents, (note,) = read(tmp_path)
    assert documents == []
    assert note.startswith("locked.pdf cannot be read as PDF (")


@pytest.mark.parametrize("sign", [" ", "{", "a ", "\n", "#", ":"])
def test_a_file_of_one_sign_is_read_in_time_that_grows_with_it(sign: str, tmp_path: Path) -> None:
    for suffix in ("md", "txt", "rst", "html"):
        (tmp_path / f"a.{suffix}").write_text(sign * 100_000)
    assert len(read(tmp_path)[0]) == 4


@pytest.mark.parametrize("text", ["`" + " " * 200_000, ".. a::\n" + "`a" * 100_000])
def test_marks_that_do_not_end_are_read_in_time_that_grows_with_them(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.rst").write_text(text)
    assert len(read(tmp_path)[0]) == 1


def test_a_corpus_and_ids_that_stand_twice(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    rows = [{"_id": name, "title": "On ponds", "text": TEXT} for name in ("a", "b")]
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for path in (corpus, tmp_path):
        documents, _ = read(path)
        assert documents[1] == Document("b", "On ponds", (Section(("On ponds",), TEXT),))
    corpus.write_text("".join(json.dumps(row | {"_id": "a"}) + "\n" for row in rows), encoding="utf-8")
    with pytest.raises(BadInput, match="row 2: the id 'a' was given at row 1; ids must differ"):
        read(corpus)


@pytest.mark.parametrize("files", [(), ("a.png",)])
def test_a_folder_without_documents(files: tuple[str, ...], tmp_path: Path) -> None:
    for name in files:
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(BadInput, match=r"holds no documents: .*; put files with the endings"):
        read(tmp_path)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not exist; name a folder of documents"):
        read(tmp_path / "none")
