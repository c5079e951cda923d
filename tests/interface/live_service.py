"""One real server with the small cross-encoder: its routes, bodies, headers, metrics, log lines and spans."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.interface.keypaths import key_paths, schema_paths
from tests.interface.programs import ROOT, clean_environment, server_command
from tests.ports import free_port
from tests.service.telemetry.collector import Collector, attributes_of, collecting
from tests.waiting import PATIENCE, wait_until
from tests.warm import WarmProcess

SECRET = "a-secret-for-the-interface"
KEYS = f"""
[[keys]]
name = "all"
secret = "{SECRET}"
priority = 1

[[keys]]
name = "slow"
sha256 = "{"0" * 64}"
documents_per_minute = 1
"""
QUESTION = "why does bread rise"
TEXTS = ["Yeast makes gas.", "Tea is steeped.", ""]
# One body of each shape, with every field that adds something to the answer.
BODIES: dict[str, dict[str, Any]] = {
    "cohere": {"query": QUESTION, "documents": [{"text": text} for text in TEXTS], "return_documents": True},
    "voyage": {"query": QUESTION, "documents": TEXTS, "top_k": 2, "return_documents": True},
    "tei": {"query": QUESTION, "texts": TEXTS, "return_text": True, "raw_scores": True},
    "nim": {"query": {"text": QUESTION}, "passages": [{"text": text} for text in TEXTS]},
}
# What goes wrong by the caller's doing, and the body it was about.
WRONG: dict[str, dict[str, Any]] = {
    "no documents": {"query": QUESTION},
    "empty list": {"query": QUESTION, "documents": []},
    "other model": {"query": QUESTION, "documents": TEXTS, "model": "nosuch"},
    "too many": {"query": QUESTION, "documents": TEXTS * 2},
    "does not fit": {"query": QUESTION, "documents": ["word " * 2000], "truncation": False},
    "query too long": {"query": "word " * 2000, "documents": TEXTS},
    "wrong field of tei": {"query": QUESTION, "texts": TEXTS, "top_n": -1},
}
# Labels whose values are the machine's or a version's; all others are of a small set of names.
_FREE_LABELS = ("model", "revision", "engine", "engine_version", "dtype", "device", "version", "python", "le")
_OF_THE_SERVER = {"date", "server", "content-length", "content-type", "transfer-encoding"}

Pins = dict[str, set[str]]


def service_pins(folder: Path) -> Pins:
    """Everything that is found on one server."""
    with collecting() as collector:
        with _server(folder, collector.url) as url, httpx.Client(base_url=url, timeout=PATIENCE) as client:
            unauthorised = client.post("/rerank", json=BODIES["cohere"])
            client.headers["Authorization"] = f"Bearer {SECRET}"
            pins = _routes(client) | _page(client) | _answers(client, unauthorised) | _metrics(client)
        pins |= _log(folder / "server.log") | _spans(collector)
    return pins


@contextmanager
def _server(folder: Path, collector: str) -> Iterator[str]:
    keys, log, port = folder / "keys.toml", folder / "server.log", free_port()
    keys.write_text(KEYS)
    flags = {"model": "limrank-mini-ce", "served-name": "served", "model-aliases": "alias", "port": port}
    flags |= {"keys-file": keys, "otlp-endpoint": collector, "drain-delay": 0, "log-level": "debug", "max-documents": 5}
    command = server_command("limrank-serve", *(word for name, value in flags.items() for word in (f"--{name}", value)))
    with log.open("wb") as out:
        process = WarmProcess(command, cwd=ROOT, env=clean_environment(), stdout=out, stderr=out)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_ready(process, url, log)
        yield url
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0, log.read_text()
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    with httpx.Client(base_url=url, timeout=PATIENCE) as client:  # one for all: each costs tens of milliseconds

        def ready() -> bool:
            assert process.poll() is None, f"it exited {process.returncode}:\n{log.read_text()}"
            with suppress(httpx.TransportError):
                return client.get("/health/ready").status_code == 200
            return False

        wait_until(ready, lambda: f"not ready in time:\n{log.read_text()[-4000:]}", 0.1)


def _routes(client: httpx.Client) -> Pins:
    """Every route, those that the page does not show too: the answer to an unknown path lists them."""
    listed = re.findall(r"(GET|POST) (/[^ ,]*?)(?=[,.] |\.$|,)", client.get("/nosuch").json()["message"] + " ")
    found = set()
    for method, path in listed:
        found.add(f"{method} {path}")
        if method == "GET":
            answer = client.get(path.replace("{name:path}", "served").replace("{name}", "served"))
            found.add(f"GET {path} {answer.status_code}")
            head = client.head(path.replace("{name}", "served"))
            if head.status_code == 200:
                found.add(f"HEAD {path}")
    return {"routes": found}


def _page(client: httpx.Client) -> Pins:
    page = client.get("/openapi.json").json()
    documented, fields, operations = set(), set(), set()
    for path, methods in page["paths"].items():
        for method, operation in methods.items():
            route = f"{method.upper()} {path}"
            operations.add(f"{route} {operation['operationId']}")
            for status, response in operation["responses"].items():
                documented.add(f"{route} {status}")
                documented |= {f"{route} {status} header {name}" for name in response.get("headers", {})}
                for body in response.get("content", {}).values():
                    told = status if status == "200" else "error"
                    fields |= {f"{route} {told} {key}" for key in schema_paths(body["schema"], page)}
            for body in operation.get("requestBody", {}).get("content", {}).values():
                fields |= {f"{route} body {key}" for key in schema_paths(body["schema"], page)}
    return {
        "openapi statuses": documented,
        "openapi fields": fields,
        "openapi operations": operations,
        "openapi schemas": set(page["components"]["schemas"]),
    }


def _answers(client: httpx.Client, unauthorised: httpx.Response) -> Pins:
    """The keys of real answers, the codes of errors, and the headers of both."""
    asked = {"X-Request-Id": "pinned", "X-Request-Timeout-Ms": "60000"}
    answers = {name: client.post("/rerank", json=body, headers=asked) for name, body in BODIES.items()}
    assert {answer.status_code for answer in answers.values()} == {200}
    answers |= {"GET /info": client.get("/info"), "GET /models": client.get("/models")}
    answers |= {name: client.get(name.split()[1]) for name in ("GET /health/ready", "GET /health/live")}
    wrong = {name: client.post("/rerank", json=body) for name, body in WRONG.items()} | {"no key": unauthorised}
    wrong["not JSON"] = client.post("/rerank", content=b"{")
    wrong["compressed"] = client.post("/rerank", content=b"{", headers={"Content-Encoding": "br"})
    wrong["timeout"] = client.post("/rerank", json=BODIES["cohere"], headers={"X-Request-Timeout-Ms": "x"})
    wrong["no such path"], wrong["no such method"] = client.get("/nosuch"), client.get("/rerank")
    bodies = {f"{name} {key}" for name, answer in answers.items() for key in key_paths(answer.json())}
    bodies |= {f"error, {name} {key}" for name, answer in wrong.items() for key in key_paths(answer.json())}
    headers = {f"{name} {header}" for name, answer in (answers | wrong).items() for header in _own_headers(answer)}
    assert answers["cohere"].headers["X-Request-Id"] == "pinned"
    headers |= {"request X-Request-Id", "request X-Request-Timeout-Ms", "request Authorization: Bearer"}
    assert "X-Request-Timeout-Ms" in wrong["timeout"].text
    return {"answers": bodies, "headers": headers, "errors": {_error(name, answer) for name, answer in wrong.items()}}


def _own_headers(answer: httpx.Response) -> set[str]:
    return set(answer.headers) - _OF_THE_SERVER


def _error(name: str, answer: httpx.Response) -> str:
    body = answer.json()
    kind = f"{body['error']['type']} {body['error']['code']}" if isinstance(body["error"], dict) else body["error_type"]
    return f"{name}: {answer.status_code} {kind}"


def _metrics(client: httpx.Client) -> Pins:
    """Families with types and labels, the values of labels, the edges of histograms."""
    families, labels = set(), set()
    for family in text_string_to_metric_families(client.get("/metrics").text):
        families.add(f"{family.name} {family.type}")
        for sample in family.samples:
            for label, value in sample.labels.items():
                families.add(f"{sample.name} {{{label}}}")
                if label not in _FREE_LABELS or (label == "le" and family.name.startswith("limrank_")):
                    labels.add(f"{sample.name} {{{label}={value}}}")
            families.add(sample.name)
    return {"metrics": families, "metric labels": labels}


def _log(path: Path) -> Pins:
    lines = [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")]
    ours = [line for line in lines if re.fullmatch("[a-z_]+", line["event"])]
    loggers = {f"{line['event']} by {line['logger']}" for line in ours if line["logger"].startswith("limrank")}
    return {"log lines": loggers | {f"{line['event']}: {field}" for line in ours for field in line}}


def _spans(collector: Collector) -> Pins:
    found = {f"span {span.name}" for span in collector.spans}
    for span in collector.spans:
        found |= {f"span {span.name} {name}" for name in attributes_of(list(span.attributes))}
    found |= {
        f"resource {name}" for resource in collector.resources for name in resource if name.startswith("service.")
    }
    return {"spans": found | {f"sent to {path}" for path in collector.paths}}
