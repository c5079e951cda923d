"""The OpenAPI page is true: requests made from it, fitting and not, get the answers it announces, and never a 5xx."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.api.paths import RERANK_PATHS
from tests.service.wire.server import open_service
from tests.waiting import PATIENCE

CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")
MAX_DOCUMENTS = 50


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with open_service(max_documents=MAX_DOCUMENTS) as url:
        yield url


def test_schemathesis_finds_nothing(url: str, tmp_path: Path) -> None:
    options = [f"--checks={','.join(CHECKS)}", "--phases=coverage,fuzzing", "--max-examples=15", "--no-color"]
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json", *options]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
    assert "Coverage" in run.stdout, run.stdout[-4000:]


def test_every_rerank_path_shows_the_three_bodies(url: str) -> None:
    page = httpx.get(f"{url}/openapi.json").json()
    for path in RERANK_PATHS:
        schema = page["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        bodies = {body["title"]: body for body in schema["anyOf"]}
        assert bodies["CohereBody"]["required"] == ["query", "documents"]
        assert bodies["TeiBody"]["required"] == ["query", "texts"]
        assert bodies["NimBody"]["required"] == ["query", "passages"]
        assert bodies["CohereBody"]["properties"]["documents"]["maxItems"] == MAX_DOCUMENTS


def test_every_reference_of_the_page_resolves(url: str) -> None:
    page = httpx.get(f"{url}/openapi.json").json()
    names = {f"#/components/schemas/{name}" for name in page["components"]["schemas"]}
    used = {part.split('"')[0] for part in json.dumps(page).split('"$ref": "')[1:]}
    assert used <= names


def test_no_page_that_pulls_scripts_from_elsewhere(url: str) -> None:
    assert httpx.get(f"{url}/redoc").status_code == 404
    page = httpx.get(f"{url}/docs").text
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert any(name.endswith("swagger-ui-bundle.js") for name in loaded)
    assert [name for name in loaded if "//" in name or httpx.get(f"{url}/{name}").status_code != 200] == []
