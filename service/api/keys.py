"""The key file: lists the callers that are let in, and is read again whenever it changes.

    [[keys]]
    name = "search"                      # appears in logs; letters, digits, '.', '_', '-'
    secret = "a-long-random-string"      # or sha256 = "<hex of the secret's SHA-256>"; either may be a list
    priority = 0                         # optional: the best class it may ask for, 0 (first) to 2; default 0
    documents_per_minute = 6000          # optional; default: the server's

To rotate, list the old and the new secret, let the callers change over, then remove the old one.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import stat
import time
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from service.api.auth import MAX_AUTHORIZATION_BYTES
from service.errors import KeyFileError
from service.ranking import Key

MAX_FILE_BYTES = 1 << 20
_SECONDS_BETWEEN_CHECKS = 1.0
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


class KeyFile:
    """The keys in a file, which is read at most once a second and parsed when its bytes differ.

    Comparing bytes also detects a change that time stamps do not show: a Secret's symlink swapped, or two writes within
    one tick of the clock. An unusable new version leaves the old keys in force, is logged once and reported.
    """

    def __init__(
        self, path: Path, documents_per_minute: int | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Reads the file for the first time; raises KeyFileError, since there are no older keys to keep."""
        self._path = path
        self._documents_per_minute = documents_per_minute
        self._clock = clock
        self._seen: bytes | str = b""
        self._pairs: list[tuple[bytes, Key]] = []
        self._report: Report = lambda keys, usable: None
        self._checked = clock()
        try:
            self._take(self._content())
        except (KeyFileError, OSError) as error:
            raise KeyFileError(f"The key file {path} cannot be used: {_reason(error)}.") from None

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

    def refresh(self) -> None:
        """Reads the file again if the last check was a second ago."""
        now = self._clock()
        if now - self._checked < _SECONDS_BETWEEN_CHECKS:
            return
        self._checked = now
        try:
            content = self._content()
            if content != self._seen:
                self._seen = content
                self._take(content)
                _log.info("keys_read", extra={"keys": len(self._pairs)})
        except (KeyFileError, OSError) as error:
            self._complain(error)

    def _content(self) -> bytes:
        kind = self._path.stat().st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):  # a pipe would make the reader wait for a writer
            raise KeyFileError("it is no regular file")
        with self._path.open("rb") as file:
            return file.read(MAX_FILE_BYTES + 1)

    def _take(self, content: bytes) -> None:
        self._pairs = parse(content, self._documents_per_minute)
        self._seen = content
        self._report(self._count(), True)

    def _count(self) -> int:
        return len({key.name for _, key in self._pairs})

    def _complain(self, error: KeyFileError | OSError) -> None:
        """Logs and reports an unusable version of the file, once per version."""
        reason = _reason(error)
        if isinstance(error, OSError):
            if self._seen == reason:
                return
            self._seen = reason
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
