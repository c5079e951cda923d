"""The pages as a client without a browser sees them: who gets what, with which headers, and what needs a key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
import pytest

from service.pages.assets import STATIC, SWAGGER_FILES, own_assets
from service.pages.router import is_open, wants_html
from service.settings import Settings, from_command_line
from tests.service.serving import SECRET, WITH_KEY, guarded_service, serving
from tests.service.wire.server import open_service

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"}
PROGRAMS = [
    "*/*",
    "",
    "application/json",
    "text/html;q=0, */*",
    "text/plain, application/json",
    "application/json, text/html;q=0.9",
    "TEXT/HTML ; Q = 0.000, text/*",
    "*/*, text/html;q=0.5",
]
SECRETS: dict[str, Any] = {"served_name": "a-name-to-keep", "root_path": "/models/rerank"}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The root of a service with a key, pages and a root path."""
    with serving(guarded_service(tmp_path_factory.mktemp("keys"), **SECRETS).app) as url:
        yield f"{url}/models/rerank/"


def linked(page: httpx.Response) -> list[str]:
    """The URLs of all that a page loads or links to."""
    found = re.findall(r'(?:src|href)="([^"#]+)"', page.text)
    return [urljoin(str(page.url), each) for each in found]


def test_a_browser_gets_the_playground_and_others_the_paths(guarded: str) -> None:
    page = httpx.get(guarded, headers=BROWSER)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "<title>limrank playground</title>" in page.text
    for accept in PROGRAMS:
        answer = httpx.get(guarded, headers={"Accept": accept})
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        assert {"POST /rerank", "GET /info", "GET /openapi.json", "GET /docs", "GET /"} <= set(answer.json()["paths"])
        assert "accept" in answer.headers["vary"].lower()


@pytest.mark.parametrize("path", ["", "docs"])
def test_all_that_a_page_loads_comes_from_below_it_without_a_key(guarded: str, path: str) -> None:
    page = httpx.get(guarded + path, headers=BROWSER)
    assert page.status_code == 200
    urls = [url for url in linked(page) if not url.endswith(("openapi.json", "docs")) and url != guarded]
    assert len(urls) >= 3
    for url in urls:
        assert url.startswith(f"{guarded}assets/"), url
        answer = httpx.get(url)
        assert answer.status_code == 200, url
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert guarded + "docs" in linked(page) if not path else guarded in linked(page)


def test_scripts_import_only_files_that_are_served(guarded: str) -> None:
    for name, path in own_assets().items():
        for other in re.findall(r'from "([^"]+)"', path.read_text("utf-8") if name.endswith(".js") else ""):
            assert other.startswith("./"), (name, other)
            assert other[2:] in own_assets(), (name, other)


def test_every_file_of_the_pages_is_used() -> None:
    text = "".join(path.read_text("utf-8") for path in STATIC.iterdir() if path.suffix != ".png")
    assert [name for name in own_assets() if name not in text] == []


def test_the_pages_need_no_key_and_tell_nothing_of_the_server(guarded: str) -> None:
    names = [*own_assets(), *SWAGGER_FILES]
    for path in ("", "docs", *(f"assets/{name}" for name in names)):
        for headers in ({}, BROWSER, {"Authorization": "Bearer wrong"}):
            answer = httpx.get(guarded + path, headers=headers)
            assert answer.status_code == 200, path
            assert not any(secret in answer.text for secret in (*SECRETS.values(), SECRET, "scripted")), path
        head = httpx.head(guarded + path)
        assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize("path", ["openapi.json", "info", "rerank", "nowhere", "docs/", "docs/x", "assets", "redoc"])
def test_all_else_needs_one(guarded: str, path: str) -> None:
    assert httpx.get(guarded + path, headers=BROWSER).status_code == 401


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["", "docs", "assets/playground.js"])
def test_other_methods_need_one_too(guarded: str, path: str, method: str) -> None:
    assert httpx.request(method, guarded + path).status_code == 401


@pytest.mark.parametrize("name", ["router.py", "nothing.js", "..%2frouter.py", "%2e%2e/router.py", "playground.html"])
def test_no_other_file_is_served(guarded: str, name: str) -> None:
    assert httpx.get(f"{guarded}assets/{name}").status_code == 404


def test_policies_let_in_nothing_from_elsewhere(guarded: str) -> None:
    for path in ("", "docs"):
        headers = httpx.get(guarded + path, headers=BROWSER).headers
        policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert policy["script-src"] == policy["connect-src"] == "'self'"
        assert not re.search(r"https?:|\*|unsafe-eval", headers["content-security-policy"])
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert "set-cookie" not in headers
    playground = httpx.get(guarded, headers=BROWSER).headers["content-security-policy"]
    assert "unsafe" not in playground
    assert "require-trusted-types-for 'script'" in playground


def test_the_source_names_no_address_and_stores_nothing() -> None:
    for path in STATIC.iterdir():
        if path.suffix == ".png":
            continue
        text = path.read_text("utf-8")
        assert not re.search(r"https?://|//[a-z0-9.-]+\.[a-z]{2,}/", text), path.name
        assert not re.search(
            r"localStorage|sessionStorage|document\.cookie|indexedDB|innerHTML|outerHTML|eval\(", text
        ), path.name
        assert not re.search(r'<[^>]+ (?:on[a-z]+|style)="', text), path.name


def test_a_file_that_did_not_change_is_not_sent_again(guarded: str) -> None:
    first = httpx.get(f"{guarded}assets/playground.css")
    again = httpx.get(f"{guarded}assets/playground.css", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert httpx.get(f"{guarded}assets/playground.css", headers={"If-None-Match": '"other"'}).status_code == 200
    assert first.headers["cache-control"] == "no-cache"


def test_without_pages_only_the_list_of_paths_is_left(tmp_path: Path) -> None:
    with serving(guarded_service(tmp_path, playground="off").app) as url:
        answer = httpx.get(url, headers=BROWSER)
        assert answer.headers["content-type"] == "application/json"
        assert not [path for path in answer.json()["paths"] if "docs" in path or "assets" in path]
        for path in ("/docs", "/assets/playground.js"):
            assert httpx.get(url + path).status_code == 401
            assert httpx.get(url + path, headers=WITH_KEY).status_code == 404


def test_without_keys_pages_and_descriptions_are_there() -> None:
    with open_service() as url:
        assert httpx.get(url, headers=BROWSER).text.startswith("<!doctype html>")
        assert httpx.get(f"{url}/openapi.json").status_code == httpx.get(f"{url}/docs").status_code == 200
        assert urlsplit(url).hostname == "127.0.0.1"


@pytest.mark.parametrize(
    ("argv", "pages"),
    [
        ([], True),
        (["--host", "localhost"], True),
        (["--host", "::1"], True),
        (["--host", "0.0.0.0", "--allow-anonymous"], False),
        (["--host", "10.1.2.3", "--keys-file", "keys.toml"], False),
        (["--playground", "off"], False),
        (["--host", "::", "--allow-anonymous", "--playground", "on"], True),
    ],
)
def test_pages_are_served_where_only_this_machine_reaches_them_unless_told(argv: list[str], pages: bool) -> None:
    assert from_command_line(argv, {}).pages is pages


def test_the_setting_has_two_words() -> None:
    assert from_command_line([], {"LIMRANK_PLAYGROUND": "off"}).pages is False
    with pytest.raises(ValueError, match="'on' or 'off'"):
        Settings.model_validate({"playground": "yes"})


@pytest.mark.parametrize("path", ["/", "/docs", "/assets/x"])
def test_only_reading_is_open(path: str) -> None:
    assert is_open("GET", path, with_pages=True)
    assert is_open("HEAD", path, with_pages=True)
    assert not is_open("POST", path, with_pages=True)
    assert is_open("GET", path, with_pages=False) is (path == "/")


def test_what_accepts_html() -> None:
    assert wants_html("text/html")
    assert wants_html("application/json;q=0.4, TEXT/HTML; q=0.5")
    assert wants_html("application/json, text/html"), "of equals the page"
    assert wants_html("text/html;q=0.1"), "JSON is not accepted"
    assert wants_html("text/html;q=0.9, */*;q=0.8")
    assert not any(wants_html(accept) for accept in PROGRAMS)
