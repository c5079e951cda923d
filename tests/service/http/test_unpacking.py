"""Compressed bodies are read as what they unpack to, whatever pieces they come in, and a bomb stops at the limit."""

from __future__ import annotations

import contextlib
import gzip
import subprocess
import tracemalloc
import zlib
from collections.abc import Iterator
from itertools import chain, pairwise, repeat
from pathlib import Path

import httpx
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.datastructures import Headers
from starlette.types import Message, Receive

from service.api.body import read_body
from service.errors import BadRequest, BodyTooLarge, UnsupportedMedia
from service.http.unpacking import PIECE_BYTES, Unpacker, unpacker_of, zstd
from tests.requirements_check import require
from tests.service.api.bad_input import GOOD
from tests.service.http.packing import PACKERS, bomb, raw_deflate
from tests.service.wire.server import open_service

LIMIT = 1 << 20
NAMES = sorted(PACKERS)


def unpacker(name: str) -> Unpacker:
    found = unpacker_of(name)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "encoding", ["gzip", "GZip", " gzip ", "x-gzip", "deflate", "zstd", "identity, gzip", "gzip,identity", "gzip,,"]
)
def test_encodings_that_are_taken(encoding: str) -> None:
    assert unpacker_of(encoding) is not None


@pytest.mark.parametrize("encoding", ["", " ", ",", "identity", "Identity, identity"])
def test_bodies_that_are_not_compressed(encoding: str) -> None:
    assert unpacker_of(encoding) is None


@pytest.mark.parametrize(
    "encoding",
    [
        *("br", "compress", "x-zstd", "zlib", "gzip;q=1", "*", "gzip gzip", "gzip" * 50),
        *("gzip, gzip", "gzip, br", "br, gzip", "deflate, gzip", "zstd,identity,zstd"),
    ],
)
def test_all_others_are_refused_whether_one_or_nested(encoding: str) -> None:
    with pytest.raises(UnsupportedMedia, match="gzip, deflate, zstd, or uncompressed") as refused:
        unpacker_of(encoding)
    assert len(refused.value.message) < 200


def unpacked(name: str, *pieces: bytes) -> bytes:
    unpack = unpacker(name)
    made = list(chain.from_iterable(map(unpack.feed, pieces)))
    unpack.finish()
    assert all(0 < len(piece) <= PIECE_BYTES for piece in made)
    return b"".join(made)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[begin:end] for begin, end in pairwise(edges)]


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=80)
@given(data=st.binary(max_size=3000), times=st.integers(1, 300), places=st.lists(st.integers(0, 10**6), max_size=8))
def test_what_was_packed_comes_out_in_whatever_pieces(name: str, data: bytes, times: int, places: list[int]) -> None:
    whole = data * times
    assert unpacked(name, *cut(PACKERS[name](whole), places)) == whole


@settings(deadline=None, max_examples=80)
@given(data=st.binary(max_size=300), places=st.lists(st.integers(0, 400), max_size=4))
def test_deflate_without_its_frame(data: bytes, places: list[int]) -> None:
    assert unpacked("deflate", *cut(raw_deflate(data), places)) == data


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=150)
@given(data=st.binary(max_size=200), keep=st.integers(0, 60))
def test_any_bytes_are_unpacked_or_refused(name: str, data: bytes, keep: int) -> None:
    for sent in (data, PACKERS[name](b"some text")[:keep] + data):
        with contextlib.suppress(BadRequest):
            unpacked(name, sent)


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=60)
@given(data=st.binary(min_size=1, max_size=500), lost=st.integers(1, 10))
def test_a_body_that_ends_too_early_is_refused(name: str, data: bytes, lost: int) -> None:
    packed = PACKERS[name](data)
    with pytest.raises(BadRequest):
        unpacked(name, packed[: max(1, len(packed) - lost)])


def test_members_one_after_another_are_one_body() -> None:
    for name in ("gzip", "zstd"):
        pack = PACKERS[name]
        both = pack(b"one ") + pack(b"") + pack(b"two")
        assert unpacked(name, both) == unpacked(name, both[:30], both[30:]) == b"one two"
        with pytest.raises(BadRequest, match=f"not valid {name}"):
            unpacked(name, pack(b"one") + b"more")
        with pytest.raises(BadRequest, match="1024 members"):
            unpacked(name, pack(b"") * 1025)
    with pytest.raises(BadRequest, match="behind the end"):
        unpacked("deflate", zlib.compress(b"one") * 2)
    assert unpacked("x-gzip", gzip.compress(b"one")) == b"one"


def test_a_frame_that_asks_for_much_memory_is_refused() -> None:
    packer = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
    with pytest.raises(BadRequest, match="not valid zstd"):
        unpacked("zstd", packer.compress(b"text") + packer.flush())


def sending(pieces: Iterator[bytes]) -> tuple[Receive, list[int]]:
    """A client that sends `pieces`, and how many bytes it was asked for."""
    taken: list[int] = []

    async def receive() -> Message:
        piece = next(pieces, None)
        if piece is None:
            return {"type": "http.request", "body": b"", "more_body": False}
        taken.append(len(piece))
        return {"type": "http.request", "body": piece, "more_body": True}

    return receive, taken


@pytest.mark.parametrize("name", NAMES)
async def test_a_bomb_is_read_up_to_the_limit_and_costs_no_more(name: str) -> None:
    packed = list(bomb(name, 1000))
    assert sum(map(len, packed)) < 2_000_000
    reserved: list[int] = []
    receive, taken = sending(iter([b"".join(packed)]))
    headers = Headers({"content-encoding": name})
    tracemalloc.start()
    with pytest.raises(BodyTooLarge, match=f"limit of {LIMIT} bytes"):
        await read_body(headers, receive, limit=LIMIT, seconds=60, reserve=reserved.append)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken
    assert sum(reserved) <= LIMIT
    assert peak < 8 * LIMIT, f"{peak} bytes"


@pytest.mark.parametrize("name", NAMES)
async def test_bytes_that_unpack_to_nothing_count_too(name: str) -> None:
    empty = {"gzip": b"\x00\x00\x00\xff\xff", "deflate": b"\x00\x00\x00\xff\xff", "zstd": b"\x00\x00\x00"}[name]
    begin = {
        "gzip": gzip.compress(b"")[:10],
        "deflate": zlib.compress(b"")[:2],
        "zstd": bytes.fromhex("28b52ffd0058"),
    }[name]
    receive, taken = sending(chain([begin], repeat(empty * 10_000)))
    with pytest.raises(BodyTooLarge):
        await read_body(Headers({"content-encoding": name}), receive, limit=LIMIT, seconds=60)
    assert sum(taken) <= LIMIT + 50_000


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with open_service(max_body_bytes=1 << 20) as url:
        yield url


@pytest.mark.parametrize("name", NAMES)
def test_what_is_reserved_is_what_it_unpacks_to(url: str, name: str) -> None:
    body = orjson.dumps(GOOD | {"padding": "x" * 500_000})
    with httpx.Client(base_url=url, headers={"Content-Encoding": name}) as client:
        assert client.post("/rerank", content=PACKERS[name](body)).status_code == 200
        refused = client.post("/rerank", content=PACKERS[name](body * 3))
        assert (refused.status_code, refused.json()["error"]["code"]) == (413, "too_large")
        refused = client.post("/rerank", content=b"".join(bomb(name, 300)))
        assert refused.status_code == 413
        assert client.post("/v1/rerank/batch", content=PACKERS[name](b'{"requests": [{}]}')).status_code == 200


@pytest.mark.parametrize("path", ["/v1/rerank/batch", "/v1/decisions", "/v1/systemone", "/v1/ranking"])
@pytest.mark.parametrize("name", NAMES)
def test_a_bomb_stops_at_the_limit_on_every_path(url: str, name: str, path: str) -> None:
    refused = httpx.post(f"{url}{path}", content=b"".join(bomb(name, 50)), headers={"Content-Encoding": name})
    assert (refused.status_code, refused.json()["error"]["code"]) == (413, "too_large")


def test_two_headers_are_two_encodings(url: str) -> None:
    body = gzip.compress(gzip.compress(orjson.dumps(GOOD)))
    twice = [("Content-Encoding", "gzip"), ("Content-Encoding", "gzip")]
    assert httpx.post(f"{url}/rerank", content=body, headers=twice).status_code == 415


def test_a_refusal_names_what_is_taken(url: str) -> None:
    answer = httpx.post(f"{url}/rerank", content=b"x", headers={"Content-Encoding": "br"})
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "gzip, deflate, zstd")


def test_a_file_that_gzip_made_and_curl_sends(url: str, tmp_path: Path) -> None:
    require("curl", present=Path("/usr/bin/curl").exists(), remedy="install curl")
    file = tmp_path / "body.json.gz"
    file.write_bytes(gzip.compress(orjson.dumps(GOOD)))
    command = ["/usr/bin/curl", "-sS", f"{url}/rerank", "-H", "Content-Encoding: gzip", "--data-binary", f"@{file}"]
    done = subprocess.run(command, capture_output=True, check=True)
    assert [result["index"] for result in orjson.loads(done.stdout)["results"]] == [1, 0]
