"""One TLS context for all HTTP clients of a process: each makes its own otherwise, which takes tens of milliseconds of
a core, also where nothing but http is asked, and tests that wait for a server ask many times."""

from __future__ import annotations

import functools
import os
import ssl
from collections.abc import Callable
from typing import Any

import httpx._transports.default
import httpx2._transports.default


def share_tls_contexts() -> None:
    """From here on, in httpx and httpx2. A context of other settings than the default is made anew."""
    for transports in (httpx._transports.default, httpx2._transports.default):
        module: Any = transports
        module.create_ssl_context = _sharing(module.create_ssl_context)


def _sharing(create: Callable[..., ssl.SSLContext]) -> Callable[..., ssl.SSLContext]:
    @functools.cache
    def default(trust_env: bool, *_certificates: str | None) -> ssl.SSLContext:
        return create(verify=True, cert=None, trust_env=trust_env)

    def shared(verify: Any = True, cert: Any = None, trust_env: bool = True) -> ssl.SSLContext:
        if verify is not True or cert is not None:
            return create(verify=verify, cert=cert, trust_env=trust_env)
        return default(trust_env, *(os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")))

    return shared
