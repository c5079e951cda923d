"""Content-Encoding of request bodies: gzip, deflate and zstd, unpacked as they come and a piece at a time.

A body of some kilobytes may stand for gigabytes, so nothing here unpacks without a bound: whoever takes the pieces
counts them, and stops.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from service.errors import BadRequest, UnsupportedMedia

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["ACCEPTED", "PIECE_BYTES", "Unpacker", "unpacker_of", "zstd"]

ACCEPTED = "gzip, deflate, zstd"
PIECE_BYTES = 1 << 18
_MOST_MEMBERS = 1024  # of one body; each may be empty, and costs a new decompressor
_ZSTD_WINDOW_LOG = 23  # 8 MiB, the most that RFC 9659 allows; a frame may ask for 2 GiB
_GZIP, _ZLIB, _RAW = 31, 15, -15  # zlib's window bits for each format


class _Member(Protocol):
    """One compressed stream: a gzip member, a zlib stream or a zstd frame."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class _Format:
    """`begin` starts a member, `pieces` unpacks what has come of it. `several`: a body may have several members."""

    begin: Callable[[bytes], _Member]
    pieces: Callable[[_Member, bytes], Iterator[bytes]]
    several: bool
    least_bytes: int = 1


class Unpacker:
    """Unpacks one body. Raises BadRequest for what is not as its encoding says."""

    def __init__(self, name: str, form: _Format) -> None:
        self._name = name
        self._form = form
        self._member: _Member | None = None
        self._members = 0
        self._held = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yields what `data` unpacks to, in pieces of at most `PIECE_BYTES`."""
        data, self._held = self._held + data, b""
        while data:
            if self._member is None:
                if len(data) < self._form.least_bytes:
                    self._held = data
                    return
                self._member = self._begin(data)
            try:
                yield from self._form.pieces(self._member, data)
            except (zlib.error, zstd.ZstdError):
                raise BadRequest(
                    f"The request body is not valid {self._name}; send what Content-Encoding says."
                ) from None
            data = self._member.unused_data if self._member.eof else b""
            if self._member.eof and self._form.several:
                self._member = None
            elif data:
                raise BadRequest(f"The request body goes on behind the end of its {self._name} data.")

    def finish(self) -> None:
        """To be called after the last byte. Raises BadRequest for a body that ends too early."""
        if self._held or (self._member is not None and not self._member.eof):
            raise BadRequest(f"The request body ends before its {self._name} data does; send all of it.")

    def _begin(self, data: bytes) -> _Member:
        self._members += 1
        if self._members > _MOST_MEMBERS:
            raise BadRequest(f"The request body has more than {_MOST_MEMBERS} members of {self._name}; send it as one.")
        return self._form.begin(data)


def unpacker_of(encoding: str) -> Unpacker | None:
    """The unpacker for a Content-Encoding; None for a body that is not compressed. Raises UnsupportedMedia."""
    names = [name for part in encoding.split(",") if (name := part.strip().lower()) not in ("", "identity")]
    if not names:
        return None
    form = _FORMATS.get(names[0]) if len(names) == 1 else None
    if form is None:
        shown = ", ".join(names)[:40]
        raise UnsupportedMedia(
            f"Content-Encoding {shown!r} is not supported; send the body as one of {ACCEPTED}, or uncompressed."
        )
    return Unpacker(names[0], form)


def _zlib_pieces(member: _Member, data: bytes) -> Iterator[bytes]:
    unpack = member.decompress  # type: ignore[attr-defined]  # of zlib, whose type has no name
    while True:
        piece = unpack(data, PIECE_BYTES)
        data = member.unconsumed_tail  # type: ignore[attr-defined]
        if piece:
            yield piece
        if member.eof or (not data and len(piece) < PIECE_BYTES):
            return


def _zstd_pieces(member: _Member, data: bytes) -> Iterator[bytes]:
    assert isinstance(member, zstd.ZstdDecompressor)
    while True:
        piece = member.decompress(data, PIECE_BYTES)
        data = b""
        if piece:
            yield piece
        if member.eof or member.needs_input:
            return


def _begin_deflate(data: bytes) -> _Member:
    """The zlib format, which the name stands for, or deflate without it, as some clients send."""
    wrapped = data[0] & 0x0F == 8 and int.from_bytes(data[:2]) % 31 == 0
    return zlib.decompressobj(_ZLIB if wrapped else _RAW)


def _begin_zstd(_: bytes) -> _Member:
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG})


_GZIP_FORMAT = _Format(lambda _: zlib.decompressobj(_GZIP), _zlib_pieces, several=True)
_FORMATS = {
    "gzip": _GZIP_FORMAT,
    "x-gzip": _GZIP_FORMAT,
    "deflate": _Format(_begin_deflate, _zlib_pieces, several=False, least_bytes=2),
    "zstd": _Format(_begin_zstd, _zstd_pieces, several=True),
}
