from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.keys import MAX_FILE_BYTES, KeyFile, parse
from service.errors import KeyFileError
from service.ranking import Key
from service.telemetry.metrics import Metrics
from tests.processes import ROOT
from tests.waiting import PATIENCE, until

OLD = "the-old-secret-0123456789"
NEW = "the-new-secret-0123456789"
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789-_"
secrets = st.text(LETTERS, min_size=16, max_size=40)


def entry(name: str, *secrets: str, more: str = "") -> str:
    return f'[[keys]]\nname = "{name}"\nsecret = [{", ".join(map(repr, secrets))}]\n{more}\n'


class Clock:
    """Time that passes when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Keys:
    """A key file on disk, and what reads it."""

    def __init__(self, folder: Path, text: str) -> None:
        self.path = folder / "keys.toml"
        self.path.write_text(text)
        self.metrics = Metrics()
        self.clock = Clock()
        self.file = KeyFile(self.path, 600, self.clock)
        self.file.report_to(self.metrics.key_file_read)

    def later(self) -> None:
        self.clock.now += 1.0
        self.refresh()

    def refresh(self) -> None:
        asyncio.run(self.file.refresh())

    def opens(self, secret: str) -> str | None:
        key = self.file.find(secret.encode())
        return None if key is None else key.name

    def metric(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(name)


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path, entry("a", OLD))


def test_a_key_has_what_its_entry_says_and_the_server_s_defaults(tmp_path: Path) -> None:
    digest = hashlib.sha256(NEW.encode()).hexdigest()
    text = (
        entry("a", OLD, more="priority = 2\ndocuments_per_minute = 5") + f'[[keys]]\nname = "b"\nsha256 = "{digest}"\n'
    )
    file = Keys(tmp_path, text).file
    assert file.find(OLD.encode()) == Key("a", priority=2, documents_per_minute=5)
    assert file.find(NEW.encode()) == Key("b", priority=0, documents_per_minute=600)
    assert file.find(b"") is None
    assert file.find(digest.encode()) is None
    assert file.find(b"\xff" * 5000) is None


def test_two_secrets_of_one_key_make_a_rotation(keys: Keys) -> None:
    keys.path.write_text(entry("a", OLD, NEW))
    keys.later()
    assert (keys.opens(OLD), keys.opens(NEW)) == ("a", "a")
    assert keys.metric("limrank_keys") == 1
    keys.path.write_text(entry("a", NEW))
    keys.later()
    assert (keys.opens(OLD), keys.opens(NEW)) == (None, "a")


def test_a_change_is_seen_within_a_second_and_not_looked_for_sooner(keys: Keys) -> None:
    keys.path.write_text(entry("a", NEW))
    keys.clock.now += 0.9
    keys.refresh()
    assert keys.opens(NEW) is None
    keys.clock.now += 0.1
    keys.refresh()
    assert keys.opens(NEW) == "a"


def test_a_change_that_leaves_size_and_time_alone_is_seen(keys: Keys) -> None:
    before = keys.path.stat()
    keys.path.write_text(entry("a", NEW))
    os.utime(keys.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = keys.path.stat()
    assert (after.st_size, after.st_mtime_ns, after.st_ino) == (before.st_size, before.st_mtime_ns, before.st_ino)
    keys.later()
    assert keys.opens(NEW) == "a"


def test_a_kubernetes_secret_that_is_swapped_is_seen(tmp_path: Path) -> None:
    """The kubelet writes a new folder and swaps the symlink `..data`; the file is a symlink into it."""
    for name, secret in (("one", OLD), ("two", NEW)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "keys.toml").write_text(entry("a", secret))
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "mounted").mkdir()
    (tmp_path / "mounted" / "keys.toml").symlink_to("../..data/keys.toml")
    clock = Clock()
    file = KeyFile(tmp_path / "mounted" / "keys.toml", clock=clock)
    (tmp_path / "swap").symlink_to("two")
    (tmp_path / "swap").rename(tmp_path / "..data")
    clock.now += 1
    asyncio.run(file.refresh())
    assert file.find(NEW.encode())
    assert file.find(OLD.encode()) is None


@pytest.mark.parametrize("damage", ["", "[[keys]", entry("a", "short"), None])
def test_an_unusable_new_file_leaves_the_old_keys_in_force(
    keys: Keys, damage: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    if damage is None:
        keys.path.unlink()
    else:
        keys.path.write_text(damage)
    with caplog.at_level(logging.INFO, "limrank.keys"):
        for _ in range(5):
            keys.later()
    assert keys.opens(OLD) == "a"
    assert keys.metric("limrank_key_file_stale") == 1
    assert keys.metric("limrank_key_file_errors_total") == 1
    assert [(record.levelname, record.message) for record in caplog.records] == [("ERROR", "key_file_unusable")]
    keys.path.write_text(entry("a", OLD))
    keys.later()
    assert keys.metric("limrank_key_file_stale") == 0
    keys.path.write_text(entry("b", NEW))
    keys.later()
    assert (keys.opens(OLD), keys.opens(NEW)) == (None, "b")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "keys: field required"),
        ("keys = []", "keys: list should have at least 1 item"),
        ("[keys]", "keys: input should be a valid list"),
        (entry("a", OLD) + entry("a", NEW), "two keys have the same name"),
        (entry("a", OLD) + entry("b", OLD), "a secret stands in it twice"),
        ('[[keys]]\nname = "a"\n', "key 'a' has neither secret nor sha256"),
        (entry("a b", OLD), "keys.0.name: string should match"),
        (entry("a", OLD, more="priority = 3"), "keys.0.priority: input should be less than or equal to 2"),
        (entry("a", OLD, more="priority = true"), "keys.0.priority: input should be a valid integer"),
        (entry("a", OLD, more="documents_per_minute = 0"), "keys.0.documents_per_minute: input should be greater"),
        (entry("a", OLD, more="piority = 1"), "keys.0: has a name other than name, secret, sha256, priority"),
        (entry("a", "x" * 15), "keys.0.secret.0: string should have at least 16 characters"),
        (entry("a", "with a blank in it"), "keys.0.secret.0: string should match"),
        (entry("a", "with-umlaut-ä-in-it"), "keys.0.secret.0: string should match"),
        ('[[keys]]\nname = "a"\nsha256 = "abc"\n', "keys.0.sha256.0: string should match"),
        ("x" * (MAX_FILE_BYTES + 1), "more than 1048576 bytes"),
        ("a = " + "[" * 100_000, "nested too deep"),
        ("a = " + "9" * 5000, "not TOML"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(text)
    with pytest.raises(KeyFileError) as caught:
        KeyFile(path)
    assert str(caught.value).startswith(f"The key file {path} cannot be used: ")
    assert reason in str(caught.value)


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_pipe, "it is no regular file"),
        (_socket, "it is no regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "it is no regular file"),
        (lambda path: path.symlink_to(path), "symbolic links"),
        (Path.mkdir, "is a directory"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "it is not UTF-8"),
        (Path.touch, "keys: field required"),
    ],
)
def test_what_is_no_file_of_keys_is_said_at_once(tmp_path: Path, make: Callable[[Path], object], said: str) -> None:
    """A pipe would hold the reader until somebody writes to it."""
    make(tmp_path / "keys.toml")
    with pytest.raises(KeyFileError, match=said):
        KeyFile(tmp_path / "keys.toml")


def test_a_pipe_in_place_of_the_file_leaves_the_old_keys_in_force(keys: Keys) -> None:
    keys.path.unlink()
    os.mkfifo(keys.path)
    keys.clock.now += 1
    keys.refresh()
    assert keys.file.find(OLD.encode()) is not None


class StalledDisk:
    """Files that are opened wait until the disk answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers = threading.Event()
        self.waiting = threading.Event()
        opened = Path.open

        def stalled(path: Path, *args: Any, **kwargs: Any) -> Any:
            if path.name == "keys.toml":
                self.waiting.set()
                self.answers.wait(PATIENCE)
            return opened(path, *args, **kwargs)

        monkeypatch.setattr(Path, "open", stalled)


def test_a_disk_that_stands_still_holds_up_nothing(
    keys: Keys, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Older keys stay in force, probes do not wait at all and calls only until the file counts as late."""
    before = keys.path.read_text()
    keys.path.write_text(entry("b", NEW))
    disk = StalledDisk(monkeypatch)

    async def through() -> None:
        keys.clock.now += 1
        keys.file.look()
        await asyncio.to_thread(disk.waiting.wait, PATIENCE)
        assert keys.metric("limrank_key_file_stale") == 0
        await asyncio.gather(*(keys.file.refresh() for _ in range(3)))
        assert (keys.opens(OLD), keys.opens(NEW)) == ("a", None)
        assert keys.metric("limrank_key_file_stale") == 1
        for _ in range(3):
            keys.clock.now += 1
            with pytest.raises(StopIteration):  # it ends without waiting
                keys.file.refresh().send(None)
        disk.answers.set()
        await until(lambda: keys.opens(NEW) == "b")
        assert keys.opens(OLD) is None
        assert keys.metric("limrank_key_file_stale") == 0
        disk.answers.clear()
        keys.clock.now += 1
        await keys.file.refresh()
        assert keys.metric("limrank_key_file_stale") == 1
        disk.answers.set()
        await until(lambda: keys.metric("limrank_key_file_stale") == 0)

    asyncio.run(through())
    assert [record.message for record in caplog.records] == ["key_file_unusable"] * 2
    keys.path.write_text(before)
    keys.later()
    assert keys.opens(OLD) == "a"


def test_a_process_ends_while_its_key_file_is_still_being_read(tmp_path: Path) -> None:
    """The read may never return, as on a network disk whose server is gone."""
    path = tmp_path / "keys.toml"
    path.write_text(entry("a", OLD))
    program = f"""
import asyncio, pathlib, threading, time
from service.api.keys import KeyFile
keys = KeyFile(pathlib.Path({str(path)!r}))
pathlib.Path.open = lambda *_: threading.Event().wait()
keys._checked -= 10
asyncio.run(keys.refresh())
assert keys.find({OLD.encode()!r})
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=PATIENCE, check=True)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="no such file or directory"):
        KeyFile(tmp_path / "none")


@given(
    st.dictionaries(secrets, st.tuples(st.integers(0, 2), st.none() | st.integers(1, 10**6)), min_size=1, max_size=8)
)
def test_every_secret_written_opens_its_own_key(wanted: dict[str, tuple[int, int | None]]) -> None:
    names = {secret: f"key-{number}" for number, secret in enumerate(wanted)}
    text = ""
    for secret, (priority, limit) in wanted.items():
        more = f"priority = {priority}\n" + ("" if limit is None else f"documents_per_minute = {limit}\n")
        text += entry(names[secret], secret, more=more)
    found = dict(parse(text.encode(), 77))
    assert len(found) == len(wanted)
    for secret, (priority, limit) in wanted.items():
        key = found[hashlib.sha256(secret.encode()).digest()]
        assert key == Key(names[secret], priority, 77 if limit is None else limit)


@given(st.binary(max_size=200))
def test_any_bytes_give_keys_or_a_reason(content: bytes) -> None:
    with pytest.raises(KeyFileError):
        parse(content, None)


@given(
    secrets,
    st.sampled_from(["{0}", "{0} = 1", '"{0}" = 1', '[[keys]]\n"{0}" = 1', '[[keys]]\nname = "a"\nsecret = {0}']),
)
def test_a_secret_in_the_wrong_place_is_not_quoted(secret: str, form: str) -> None:
    with pytest.raises(KeyFileError) as caught:
        parse(form.format(secret).encode(), None)
    assert secret not in str(caught.value)
