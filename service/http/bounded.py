"""h11's connection with bounds on what it leaves open: whole heads, and bodies in very many tiny chunks."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, NoReturn

import h11
from h11._readers import ChunkedReader

from service.http.chunks import JoiningReader
from service.http.limits import HttpLimits

_REQUEST_LINE_AND_END = 4  # bytes around method, target and version, and around each field
_INVALID = "The request is not valid HTTP."


class BoundedConnection(h11.Connection):
    """The server's side of one connection. `next_event` raises RemoteProtocolError as h11 does, and for what is beyond
    `limits`; `refused` is the status and the sentence for the error that was raised last.
    """

    def __init__(self, limits: HttpLimits, head: Callable[[], None], end: Callable[[], None]) -> None:
        """`head` is called once a request's head is whole, `end` once its body is."""
        super().__init__(h11.SERVER, limits.head_bytes)
        self._limits = limits
        self._head = head
        self._end = end
        self._chunk_bytes = 0  # of the present body
        self.refused = (HTTPStatus.BAD_REQUEST, _INVALID)

    def next_event(self) -> Any:
        """The next event."""
        try:
            event = super().next_event()
        except h11.RemoteProtocolError as error:
            if error.error_status_hint == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
                self.refused = (HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, self._too_large())
            raise
        if isinstance(event, h11.Request):
            self._chunk_bytes = 0
            self._head()
            self._check_head(event)
        elif isinstance(event, h11.Data):
            self._check_chunks(event)
        elif isinstance(event, h11.EndOfMessage):
            self._end()
        return event

    @property
    def in_chunks(self) -> bool:
        """The body of the present request comes in chunks."""
        return self._chunks > 0

    @property
    def _chunks(self) -> int:
        return self._reader.chunks if isinstance(self._reader, JoiningReader) else 0

    def _get_io_object(self, *arguments: Any) -> Any:
        made = super()._get_io_object(*arguments)
        return JoiningReader() if isinstance(made, ChunkedReader) else made

    def _check_head(self, event: h11.Request) -> None:
        size = len(event.method) + len(event.target) + len(event.http_version) + _REQUEST_LINE_AND_END
        size += sum(len(name) + len(value) + _REQUEST_LINE_AND_END for name, value in event.headers)
        if size > self._limits.head_bytes or len(event.headers) > self._limits.head_fields:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, self._too_large())
        names = {name for name, _ in event.headers}
        if b"transfer-encoding" in names and b"content-length" in names:
            # Two lengths of one body: whoever is in front may have gone by the other one (RFC 9112, 6.1).
            self._refuse(
                HTTPStatus.BAD_REQUEST,
                f"{_INVALID} It has both Content-Length and Transfer-Encoding; send one of them.",
            )

    def _check_chunks(self, event: h11.Data) -> None:
        """Each chunk costs time in which nothing else is served, also where it holds one byte."""
        self._chunk_bytes += len(event.data)
        limits = self._limits
        if self._chunks > limits.chunks and self._chunk_bytes < self._chunks * limits.chunk_bytes:
            self._refuse(
                HTTPStatus.BAD_REQUEST,
                f"The request body has more than {limits.chunks} chunks, of fewer than {limits.chunk_bytes} bytes on "
                "average; send it in larger ones.",
            )

    def _refuse(self, status: HTTPStatus, sentence: str) -> NoReturn:
        self.refused = (status, sentence)
        raise h11.RemoteProtocolError(sentence)

    def _too_large(self) -> str:
        return (
            f"The request's header is larger than {self._limits.head_bytes} bytes or has more than "
            f"{self._limits.head_fields} fields; send less of it."
        )
