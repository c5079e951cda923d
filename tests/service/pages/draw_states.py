"""Draws the playground's states side by side for the docs, from scripted answers in a real browser.

.venv/bin/python -m tests.service.pages.draw_states docs/images
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from tests.browser import Browser, Page, open_browser
from tests.fakes import ScriptedEngine
from tests.service.pages.scripted_stream import ScriptedStream, scripted_stream
from tests.service.wire.server import open_service

WIDTH, HEIGHT, PHONE = 1280, 800, 380
TILE, GAP, COLUMNS = 620, 8, 2
COLOURS = 64  # of the palette
DOCUMENTS = [
    "A glacier moves slowly. It shapes a valley below the ice, and leaves a moraine where it ends.",
    "The ice of a glacier is snow that was pressed for many years. Bread rises because of yeast.",
    "The first public railway opened in 1825.",
]
WRITTEN = "The query asks about glaciers. The passage is about the ice of glaciers"
LATE = "Not all of the 3 documents were scored in time; send fewer of them, or allow more time."


def fill(page: Page, documents: Sequence[str], **more: Any) -> None:
    page.wait("document.querySelector('#modes input') !== null")
    page.click("#tab-json")
    page.type("#json", json.dumps({"query": "How does a glacier shape a valley?", "documents": documents, **more}))
    page.click("#tab-rows")


def taken(page: Page, folder: Path, name: str) -> Path:
    page.js("document.activeElement.blur()")
    path = folder / f"{name}.png"
    page.picture(path)
    return path


def streams(browser: Browser, stream: ScriptedStream, folder: Path) -> list[Path]:
    """Nothing typed yet; while answers come; an error behind the first of them."""
    page = browser.page()
    page.look(width=WIDTH, height=HEIGHT)
    page.open(stream.url)
    page.wait("document.querySelector('#modes input') !== null")
    found = [taken(page, folder, "empty")]
    fill(page, DOCUMENTS, mode="reasoning")
    page.click("#spans")
    page.click("#rank")
    page.wait("document.querySelector('.column') !== null")
    spans = [{"start": 24, "end": len(DOCUMENTS[0]), "score": 0.9}]
    stream.send({"event": "document", "index": 0, "relevance_score": 0.87, "relevant_spans": spans})
    stream.send({"event": "reasoning", "index": 1, "offset": 0, "text": WRITTEN, "tokens": 14})
    page.wait("document.querySelector('.card.pending .why p') !== null")
    found.append(taken(page, folder, "streaming"))
    detail = {"message": LATE, "type": "timeout_error", "param": None, "code": "deadline_exceeded"}
    stream.send({"event": "error", "status": 504, "message": LATE, "error": detail, "id": "5f2c"})
    stream.end()
    page.wait("!document.querySelector('#refusal').hidden")
    return [*found, taken(page, folder, "error")]


def whole(browser: Browser, url: str, folder: Path) -> list[Path]:
    """A refusal; two hundred documents, on a screen and on a phone."""
    page = browser.page()
    page.look(width=WIDTH, height=HEIGHT)
    page.open(url)
    fill(page, ["a glacier"] * 251)
    page.click("#rank")
    page.wait("!document.querySelector('#refusal').hidden")
    found = [taken(page, folder, "refused")]
    many = [f"Page {number} on how ice shapes a valley" + " with a glacier" * (number % 9) for number in range(200)]
    for name, dark in (("many", False), ("phone", True)):
        phone = name == "phone"
        page.look(width=PHONE if phone else WIDTH, height=HEIGHT, phone=phone, dark=dark)
        fill(page, many)
        page.click("#rank")
        page.wait("document.querySelector('#status').innerText.includes('ranked')")
        if phone:
            page.js("document.querySelector('.column').scrollIntoView()")
        found.append(taken(page, folder, name))
    return found


def sheet(paths: Sequence[Path], path: Path) -> None:
    """All pictures as tiles, in reading order."""
    height = TILE * HEIGHT // WIDTH
    rows = -(-len(paths) // COLUMNS)
    size = (COLUMNS * TILE + (COLUMNS + 1) * GAP, rows * height + (rows + 1) * GAP)
    whole_sheet = Image.new("RGB", size, (128, 136, 148))
    for number, each in enumerate(paths):
        with Image.open(each) as picture:
            picture.thumbnail((TILE, height), Image.Resampling.LANCZOS)
            row, column = divmod(number, COLUMNS)
            left = GAP + column * (TILE + GAP) + (TILE - picture.width) // 2
            whole_sheet.paste(picture.convert("RGB"), (left, GAP + row * (height + GAP)))
    whole_sheet.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as place, open_browser(Path(place)) as browser, scripted_stream() as stream:
        found = streams(browser, stream, Path(place))
        with open_service(ScriptedEngine(), max_documents=250) as url:
            found += whole(browser, url, Path(place))
        sheet(found, folder / "playground-states.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
