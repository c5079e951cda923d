"""The key file: lists the callers that are let in, and is read again whenever it changes.

    [[keys]]
    name = "search"                      # appears in logs; letters, digits, '.', '_', '-'
    secret = "a-long-random-string"      # or sha256 = "<hex of the secret's SHA-256>"; either may be a list
    priority = 0                         # optional: the best class it may ask for, 0 (first) to 2; default 0
    documents_per_minute = 6000          # optional; default: the server's

To rotate, list the old and the new secret, let the callers change over, then remove the old one.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
import re
import stat
import threading
import time
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from service.api.auth import MAX_AUTHORIZATION_BYTES
from service.errors import KeyFileError
from service.ranking import Key

MAX_FILE_BYTES = 1 << 20
_SECONDS_BETWEEN_CHECKS = 1.0
_PATIENCE_SECONDS = 1.0  # requests wait so long for a file that does not come
_SHORTEST_SECRET = 16
_LONGEST_SECRET = MAX_AUTHORIZATION_BYTES - len("Bearer ")

_log = logging.getLogger("limrank.keys")


Report = Callable[[int, bool], None]
"""Called with the number of keys in force, and whether the file's present version could be used."""


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


_Secret = Annotated[
    str, StringConstraints(pattern=r"^[!-~]+$", min_length=_SHORTEST_SECRET, max_length=_LONGEST_SECRET)
]
_Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$")]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    secret: Annotated[list[_Secret], BeforeValidator(_listed)] = []
    sha256: Annotated[list[_Digest], BeforeValidator(_listed)] = []
    priority: int = Field(default=0, ge=0, le=2)
    documents_per_minute: int | None = Field(default=None, ge=1)

    def digests(self) -> list[bytes]:
        return [digest(secret.encode()) for secret in self.secret] + [bytes.fromhex(value) for value in self.sha256]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    keys: list[_Entry] = Field(min_length=1)


def digest(secret: bytes) -> bytes:
    """Returns the form in which a secret is kept. Keys are long and random: a slow password hash would gain nothing."""
    return hashlib.sha256(secret).digest()


def parse(content: bytes, documents_per_minute: int | None) -> list[tuple[bytes, Key]]:
    """Returns each secret's digest with its key; `documents_per_minute` is for keys that set none.

    Raises KeyFileError with a reason only, for a sentence that names the file.
    """
    if len(content) > MAX_FILE_BYTES:
        raise KeyFileError(f"it has more than {MAX_FILE_BYTES} bytes")
    try:
        entries = _File.model_validate(tomllib.loads(content.decode())).keys
    except UnicodeDecodeError:
        raise KeyFileError("it is not UTF-8") from None
    except RecursionError:
        raise KeyFileError("it is nested too deep") from None
    except ValidationError as error:
        raise KeyFileError("; ".join(_sentences(error))) from None
    except ValueError as error:  # TOMLDecodeError, and a number of more digits than Python reads
        raise KeyFileError(f"it is not TOML{_position(error)}") from None
    pairs = [(value, _key(entry, documents_per_minute)) for entry in entries for value in _digests(entry)]
    if len({entry.name for entry in entries}) < len(entries):
        raise KeyFileError("two keys have the same name")
    if len({value for value, _ in pairs}) < len(pairs):
        raise KeyFileError("a secret stands in it twice")
    return pairs


@dataclass(frozen=True, slots=True)
class _Look:
    """What a look at the file came to. `pairs`: None where its bytes are the same as before, or `error` says why."""

    content: bytes | None = None
    pairs: list[tuple[bytes, Key]] | None = None
    error: KeyFileError | OSError | None = None


class KeyFile:
    """The keys in a file, which is read at most once a second and parsed when its bytes differ. Runs on one event loop.

    Comparing bytes also detects a change that time stamps do not show: a Secret's symlink swapped, or two writes within
    one tick of the clock. An unusable new version leaves the old keys in force, is logged once and reported; so does a
    file that does not come in time, as on a disk that has stopped answering. It is read and parsed in a thread, so that
    nothing waits for it but the requests that need a key, and these no longer than a second.
    """

    def __init__(
        self, path: Path, documents_per_minute: int | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Reads the file for the first time; raises KeyFileError, since there are no older keys to keep."""
        self._path = path
        self._documents_per_minute = documents_per_minute
        self._clock = clock
        self._seen: bytes | str = ""  # the content, or why there was none
        self._pairs: list[tuple[bytes, Key]] = []
        self._report: Report = lambda keys, usable: None
        self._checked = clock()
        self._looking: asyncio.Future[None] | None = None
        self._late = False
        self._usable = False
        self._reader: threading.Thread | None = None
        self._wanted: SimpleQueue[tuple[asyncio.AbstractEventLoop, bytes | str]] = SimpleQueue()
        look = self._look_at(self._seen)
        if look.error is not None:
            raise KeyFileError(f"The key file {path} cannot be used: {_reason(look.error)}.") from None
        self._take(look)

    def report_to(self, report: Report) -> None:
        """Calls `report` now, and again for every new version of the file, usable or not."""
        self._report = report
        report(self._count(), True)

    def find(self, token: bytes) -> Key | None:
        """Returns the key that this secret opens. All are compared, whichever matches."""
        wanted, match = digest(token), None
        for value, key in self._pairs:
            if hmac.compare_digest(value, wanted):
                match = key
        return match

    async def refresh(self) -> None:
        """Reads the file again if the last look was a second ago; returns once it is read, or is late."""
        self.look()
        if (looking := self._looking) is None or self._late:
            return
        await asyncio.wait([looking], timeout=_PATIENCE_SECONDS)
        if not (looking.done() or self._late):
            self._late = True
            self._tell_unusable(f"it was not read within {_PATIENCE_SECONDS:g} s")

    def look(self) -> None:
        """Begins to read the file if the last look was a second ago and has ended. Waits for nothing."""
        now = self._clock()
        if self._looking is not None or now - self._checked < _SECONDS_BETWEEN_CHECKS:
            return
        self._checked = now
        loop = asyncio.get_running_loop()
        self._looking = loop.create_future()
        if self._reader is None:
            # A daemon, so that a read that never returns does not keep the process from ending. One for all looks:
            # the start of a thread waits until that thread has had its turn.
            self._reader = threading.Thread(target=self._read_on_demand, name="limrank-keys", daemon=True)
            self._reader.start()
        self._wanted.put((loop, self._seen))

    def _read_on_demand(self) -> None:
        while True:
            loop, seen = self._wanted.get()
            look = self._look_at(seen)
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(self._came, look)

    def _came(self, look: _Look) -> None:
        """The file has been read, or cannot be."""
        looking, late = self._looking, self._late
        self._looking, self._late = None, False
        if look.error is not None:
            self._complain(look.error, look.content)
        elif look.pairs is not None:
            self._take(look)
            _log.info("keys_read", extra={"keys": len(self._pairs)})
        elif late:
            self._report(self._count(), self._usable)
        if looking is not None:
            looking.set_result(None)

    def _look_at(self, seen: bytes | str) -> _Look:
        """Reads the file, and parses it where it is not what was `seen`. Blocks."""
        content: bytes | None = None
        try:
            content = self._content()
            pairs = None if content == seen else parse(content, self._documents_per_minute)
        except (KeyFileError, OSError) as error:
            return _Look(content, error=error)
        return _Look(content, pairs)

    def _content(self) -> bytes:
        kind = self._path.stat().st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):  # a pipe would make the reader wait for a writer
            raise KeyFileError("it is no regular file")
        with self._path.open("rb") as file:
            return file.read(MAX_FILE_BYTES + 1)

    def _take(self, look: _Look) -> None:
        assert look.content is not None
        assert look.pairs is not None
        self._seen, self._pairs, self._usable = look.content, look.pairs, True
        self._report(self._count(), True)

    def _count(self) -> int:
        return len({key.name for _, key in self._pairs})

    def _complain(self, error: KeyFileError | OSError, content: bytes | None) -> None:
        """Logs and reports an unusable version of the file, once per version; without content, once per reason."""
        version = _reason(error) if content is None else content
        if self._seen == version:
            return
        self._seen, self._usable = version, False
        self._tell_unusable(_reason(error))

    def _tell_unusable(self, reason: str) -> None:
        self._report(self._count(), False)
        _log.error(
            "key_file_unusable", extra={"path": str(self._path), "reason": reason, "kept_keys": len(self._pairs)}
        )


def _key(entry: _Entry, documents_per_minute: int | None) -> Key:
    return Key(entry.name, entry.priority, entry.documents_per_minute or documents_per_minute)


def _digests(entry: _Entry) -> list[bytes]:
    if not (values := entry.digests()):
        raise KeyFileError(f"key {entry.name!r} has neither secret nor sha256")
    return values


def _sentences(error: ValidationError) -> Iterable[str]:
    """Says what is wrong and where. An unknown name is not quoted: it may be a secret in the wrong place."""
    for problem in error.errors(include_input=False, include_url=False, include_context=False):
        unknown = problem["type"] == "extra_forbidden"
        place = ".".join(str(part) for part in (problem["loc"][:-1] if unknown else problem["loc"])) or "the file"
        known = _Entry.model_fields if len(problem["loc"]) > 1 else _File.model_fields
        message = f"has a name other than {', '.join(known)}" if unknown else problem["msg"]
        yield f"{place}: {message[:1].lower()}{message[1:]}"


def _position(error: ValueError) -> str:
    """Returns only the position of the fault: the rest of the message may quote the line."""
    match = re.search(r"\((at [^()]*)\)$", str(error))
    return f" ({match[1]})" if match else ""


def _reason(error: KeyFileError | OSError) -> str:
    return str(error) if isinstance(error, KeyFileError) else f"{error.strerror or type(error).__name__}".lower()
