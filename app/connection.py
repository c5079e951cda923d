"""A client for rerank calls: answered by a model in this process, through the app that `limrank-serve` serves but
without a socket, or by a service at a URL. The client is the same, so the answers are too."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from app.errors import CannotStart, ServiceFailed
from cli.errors import BadSettings
from cli.output import tell

_HERE = "http://limrank"  # resolves nowhere: the app is called directly
_LONG_SECONDS = 24 * 3600.0  # a call in this process has no client that times out
# Sections of the service's settings that describe the model and its scoring; the others concern clients and networks.
_SECTIONS = ("Model", "Vllm", "Scoring")
_FURTHER = ("max_documents", "max_body_bytes", "window", "log_level")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Which service or model answers: the service at `url` with `key` as its secret or, without a `url`, a model loaded
    in this process. `flags` are the `limrank-serve` flags that choose and run the model."""

    url: str | None = None
    key: str | None = None
    flags: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Connection:
    """An open connection to a service. `info` is its answer to `GET /info`."""

    client: httpx2.AsyncClient
    info: Mapping[str, Any]

    async def ask(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to one call. Raises ServiceFailed where there is none, or it is a refusal."""
        try:
            answer = await self.client.post(path, content=json.dumps(body))
        except httpx2.HTTPError as error:
            raise ServiceFailed(
                f"The service gave no answer ({reason_of(error)}); check that it still runs, and run the command again."
            ) from None
        try:
            content = answer.json()
        except ValueError:
            content = None
        if answer.status_code != 200:
            message = content.get("message") if isinstance(content, dict) else None
            raise ServiceFailed(
                str(message)
                if message
                else f"The answer has status {answer.status_code} and no message; is the address that of limrank-serve?"
            )
        if not isinstance(content, dict):
            raise ServiceFailed("The answer is no JSON object; is the address that of limrank-serve?")
        return content

    @property
    def model(self) -> dict[str, Any]:
        """The model, the default mode and its budget: everything that determines scores."""
        mode, limits = self.info.get("default_mode"), self.info.get("limits") or {}
        budget = {"reasoning_budget": limits.get("default_reasoning_budget")} if mode == "adaptive" else {}
        return {**(self.info.get("model") or {}), "default_mode": mode, **budget}


@asynccontextmanager
async def connect(target: Target, connections: int = 8) -> AsyncIterator[Connection]:
    """Loads the model, or connects to the service. `connections` bounds the concurrent calls.

    Raises BadSettings, CannotStart or ServiceFailed.
    """
    opened = _remote(target, connections) if target.url is not None else _here(target)
    async with opened as client:
        yield Connection(client, await _describe(client, target))


def key_from(variable: str | None) -> str | None:
    """Reads a secret from an environment variable. Raises BadSettings when it is not set, or no header can hold it."""
    if variable is None:
        return None
    if not (key := os.environ.get(variable)):
        raise BadSettings(f"'key_variable' is {variable!r}: the environment has no such variable, or it is empty.")
    if not key.isascii() or not key.isprintable() or key != key.strip():
        raise BadSettings(
            f"'key_variable' is {variable!r}: its value has blanks around it, or characters that no key has; set the "
            "variable to the secret alone."
        )
    return key


def model_flags(**given: object) -> list[str]:
    """`limrank-serve` flags for the settings that are not None."""
    return [word for name, value in given.items() if value is not None for word in (_flag(name), str(value))]


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


@asynccontextmanager
async def _remote(target: Target, connections: int) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {} if target.key is None else {"authorization": f"Bearer {target.key}"}
    limits = httpx2.Limits(max_connections=connections, max_keepalive_connections=connections)
    try:
        client = httpx2.AsyncClient(base_url=target.url or "", headers=headers, timeout=_timeout(), limits=limits)
    except (httpx2.InvalidURL, ValueError) as error:
        raise _no_address(target, error) from None
    async with client:
        yield client


@asynccontextmanager
async def _here(target: Target) -> AsyncIterator[httpx2.AsyncClient]:
    """The service in this process. Startup errors become CannotStart."""
    from service.api.app import create_app
    from service.engines.loading import build_engine
    from service.errors import ServiceError, StartupError
    from service.models import store
    from service.telemetry.logs import configure_logging

    settings = _service_settings(target.flags, os.environ)
    configure_logging(settings.log_level)
    try:
        checkpoint = store.resolve(settings.model, revision=settings.model_revision, cache_dir=settings.cache_dir)
        app = create_app(settings, build_engine(settings, checkpoint), checkpoint).app
    except StartupError as error:
        raise CannotStart(str(error)) from None
    transport = httpx2.ASGITransport(app)
    lifespan = app.router.lifespan_context(app)
    try:
        await lifespan.__aenter__()
    except ServiceError as error:
        raise CannotStart(f"The engine failed on its first document: {error}") from None
    try:
        async with httpx2.AsyncClient(transport=transport, base_url=_HERE, timeout=None) as client:
            yield client
    finally:
        await lifespan.__aexit__(None, None, None)


def _service_settings(flags: Sequence[str], environ: Mapping[str, str]) -> Any:
    """The service's settings: the flags, and those of its environment variables that concern the model and its
    scoring."""
    from service import settings
    from service.sections import PREFIX

    sections = [getattr(settings, name) for name in _SECTIONS]
    names = [*(field for section in sections for field in section.model_fields), *_FURTHER]
    taken = {name: environ[name] for name in (f"{PREFIX}{field.upper()}" for field in names) if name in environ}
    taken.setdefault(f"{PREFIX}LOG_LEVEL", "warning")
    fixed = ["--request-timeout-seconds", str(_LONG_SECONDS), "--max-queued-documents", "1000000"]
    return settings.from_command_line([*fixed, *flags], taken)


async def _describe(client: httpx2.AsyncClient, target: Target) -> dict[str, Any]:
    try:
        answer = await client.get("/info")
    except (httpx2.InvalidURL, ValueError, OverflowError) as error:  # such as a port beyond the last
        raise _no_address(target, error) from None
    except httpx2.HTTPError as error:
        raise ServiceFailed(
            f"{target.url} cannot be reached ({reason_of(error)}); check the address and that its server runs."
        ) from None
    if answer.status_code == 401:
        raise ServiceFailed(f"{target.url} wants a key; name the environment variable that holds it: --key-variable.")
    try:
        info = answer.json()
    except ValueError:
        info = None
    if answer.status_code != 200 or not _describes_a_model(info):
        raise ServiceFailed(
            f"{target.url} answers {answer.status_code} at /info, so it is no limrank-serve; correct the address."
        )
    return dict(info)


def _describes_a_model(info: Any) -> bool:
    return isinstance(info, dict) and isinstance(info.get("model"), dict) and isinstance(info.get("limits") or {}, dict)


def _no_address(target: Target, error: Exception) -> BadSettings:
    return BadSettings(f"'url' is {target.url!r}: {error}; write it like http://127.0.0.1:8080.")


def reason_of(error: httpx2.HTTPError) -> str:
    """What went wrong between here and a service, in a few words."""
    return str(error) or type(error).__name__


def _timeout() -> httpx2.Timeout:
    return httpx2.Timeout(None, connect=10.0)


def note(text: str) -> None:
    """Prints a line for the user on standard error."""
    tell(text)
