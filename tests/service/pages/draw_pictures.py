"""Draws the playground's pictures for the docs, from the real service with the embedded model in a real browser.

.venv/bin/python -m tests.service.pages.draw_pictures docs/images
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from tests.browser import Page, open_browser
from tests.service.embedded_server import embedded_server

COLOURS = 160  # of the palette: small files, and no step can be seen
BODY: dict[str, Any] = {
    "query": "How is gout treated?",
    "max_reasoning_tokens": 64,
    "documents": [
        "Gout causes sudden pain, redness and swelling in a joint.",
        "Gout is treated with colchicine and anti-inflammatory drugs.",
        "Asthma is treated with inhaled medicines.",
        "Medicines that lower uric acid, such as allopurinol, are taken every day to prevent further attacks of gout.",
        "Colchicine is made from the autumn crocus, a plant of the lily order.",
    ],
}


def ranked(page: Page, url: str, mode: str, beside: str | None = None) -> None:
    """The page with BODY ranked."""
    page.open(url)
    page.wait("document.querySelector('#model').dataset.state === 'known'")
    page.click("#tab-json")
    page.type("#json", json.dumps({**BODY, "mode": mode}))
    page.click("#tab-rows")
    if beside:
        page.click(f"input[name=other][value={beside}]")
    page.click("#rank")
    page.wait("document.querySelector('#status').innerText.includes('ranked')")
    page.js("document.activeElement.blur()")


def save(page: Page, path: Path) -> None:
    page.picture(path)
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


def main(folder: Path) -> None:
    with (
        tempfile.TemporaryDirectory() as place,
        open_browser(Path(place)) as browser,
        embedded_server(Path(place)) as on,
    ):
        page = browser.page()
        page.look(height=880)
        ranked(page, on.url, "reasoning")
        page.click(".why summary")
        save(page, folder / "playground.png")
        page.look(width=1440, height=860, dark=True)
        ranked(page, on.url, "direct", beside="reasoning")
        save(page, folder / "playground-dark.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
