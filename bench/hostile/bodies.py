"""What attackers send: calls of each size, bodies of very many values, compressed ones, and what is no HTTP."""

from __future__ import annotations

import gzip

from bench.hostile.wire import MEBIBYTE, call, passages

SMALL = call(passages(2, 20, 1))
LARGE = call(passages(10_000, 40, 2), top_n=10)
EMPTY_OBJECTS = b"[" + b",".join([b"{}"] * 5_300_000) + b"]"
TINY_UNKNOWN = b'{"query":"a","documents":["a"],"x":' + EMPTY_OBJECTS + b"}"
TINY_ECHOED = b'{"query":"a","return_documents":true,"documents":[{"text":"a","x":' + EMPTY_OBJECTS + b"}]}"
UNREAD = call([{"text": "a", "x": "y" * (8 * MEBIBYTE)}], return_documents=True)
FITS = gzip.compress(SMALL + b" " * (16 * MEBIBYTE - len(SMALL)))
BOMB = gzip.compress(SMALL + b" " * (64 * MEBIBYTE))
FIELDS = b"a:b\r\n" * 4000
GARBAGE = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    b"GET\r\n\r\n",
    b"POST /rerank HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    b"POST /rerank HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /rerank HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n",
    b"POST /rerank HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    b"GET /rerank HTTP/1.1\r\nHost: x\r\n\x00: y\r\n\r\n",
    b"GET /\xff HTTP/9.9\r\n\r\n",
    b"\r\n" * 5000 + b"x\r\n\r\n",
)
