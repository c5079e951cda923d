"""Compressed bodies: as clients make them, and as nobody would but to do harm."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator

from service.http.unpacking import zstd

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, 1),
    "deflate": zlib.compress,
    "zstd": zstd.compress,
}
_BLOCK = bytes(1 << 20)


def raw_deflate(data: bytes) -> bytes:
    """Deflate without zlib's frame around it."""
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def bomb(name: str, mebibytes: int) -> Iterator[bytes]:
    """A body that unpacks to so many MiB of zeros, in its pieces; it has no end. Each MiB takes a kilobyte or less."""
    if name == "zstd":
        frame = zstd.compress(_BLOCK)
        yield from (frame for _ in range(mebibytes))
        return
    packer = zlib.compressobj(wbits=31 if name == "gzip" else 15)
    yield packer.compress(_BLOCK) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(_BLOCK) + packer.flush(zlib.Z_FULL_FLUSH)  # which stands by itself
    yield from (block for _ in range(mebibytes - 1))
