"""The files of the pages: those of this package, and Swagger UI's from the package that carries it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

STATIC = Path(__file__).parent / "static"
SWAGGER_PACKAGE = "fastapi_swagger"
SWAGGER_FILES = ("swagger-ui-bundle.js", "swagger-ui.css")
_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".png": "image/png",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """The content of one file. `tag` changes with it."""

    content: bytes
    media_type: str
    tag: str


@cache
def read_asset(path: Path) -> Asset:
    """Reads a file of the pages and keeps it. Raises OSError if it cannot be read."""
    content = path.read_bytes()
    return Asset(content, _MEDIA_TYPES[path.suffix], f'"{hashlib.sha256(content).hexdigest()[:16]}"')


def find_asset(name: str) -> Path | None:
    """Returns the file served as `/assets/<name>`; None for any name that is not on the list."""
    if name in SWAGGER_FILES:
        folder = swagger_folder()
        return None if folder is None else folder / name
    return own_assets().get(name)


@cache
def own_assets() -> dict[str, Path]:
    """Returns the files of this package by name. The pages themselves have paths of their own."""
    return {
        path.name: path for path in sorted(STATIC.iterdir()) if path.suffix in _MEDIA_TYPES and path.suffix != ".html"
    }


@cache
def swagger_folder() -> Path | None:
    """Returns the folder of Swagger UI's files, or None without the package. The package itself is not imported."""
    spec = find_spec(SWAGGER_PACKAGE)
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "resources"
    return folder if all((folder / name).is_file() for name in SWAGGER_FILES) else None
