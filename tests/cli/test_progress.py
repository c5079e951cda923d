"""What long work shows: a bar on a terminal, lines elsewhere, nothing where it is short."""

from __future__ import annotations

import io
import json
import logging
import os
import pty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import pytest

from cli.progress import SECONDS_BETWEEN_LINES, Progress, progress
from service.telemetry.logs import configure_logging
from tests.waiting import wait_until


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_what_is_left_is_reckoned_at_the_speed_so_far() -> None:
    clock = Clock()
    shown = Progress("converting_model", 200, "tensors", clock)
    assert shown.seconds_left is None
    shown.advance(50)
    clock.now += 30
    assert shown.facts() == {
        **{"work": "converting_model", "seconds": 30.0, "done": 50, "total": 200, "unit": "tensors"},
        "seconds_left": 90.0,
    }
    assert shown.line() == "Converting model  ██████░░░░░░░░░░░░░░░░░░   25% of 200 tensors  30 s  about 90 s left"
    shown.advance(150)
    assert shown.facts()["seconds_left"] == 0


def test_a_total_may_be_unknown_or_grow() -> None:
    clock = Clock()
    shown = Progress("downloading_model", unit="bytes", clock=clock)
    clock.now += 125
    assert shown.line() == "Downloading model  2 min 05 s"
    shown.done = 5e6
    assert shown.line() == "Downloading model  5 MB  2 min 05 s"
    assert shown.facts()["seconds_left"] is None
    shown.total = 15.2e9
    assert " of 15.2 GB" in shown.line()
    shown.done = 16e9
    assert "100%" in shown.line()
    assert "about 0 s left" in shown.line()


def test_a_step_is_told_where_amounts_are_not_known() -> None:
    clock = Clock()
    shown = Progress("starting_vllm", clock=clock)
    assert "step" not in shown.facts()
    shown.step = lambda: "2 of 4: loading the weights"
    clock.now += 20
    assert shown.line() == "Starting vllm  2 of 4: loading the weights  20 s"
    assert shown.facts()["step"] == "2 of 4: loading the weights"
    assert shown.facts()["seconds_left"] is None


@contextmanager
def logged() -> Iterator[io.StringIO]:
    """The service's log, and afterwards what was there before."""
    root, ours = logging.getLogger(), logging.getLogger("limrank")
    before = (root.handlers, root.level, ours.handlers, ours.level, ours.propagate)
    stream = io.StringIO()
    configure_logging("info", stream=stream)
    try:
        yield stream
    finally:
        root.handlers, root.level, ours.handlers, ours.level, ours.propagate = before
        logging.captureWarnings(False)


def test_without_a_terminal_there_are_json_lines() -> None:
    assert SECONDS_BETWEEN_LINES == 10
    with logged() as log:
        with progress("converting_model", 4, "tensors", stream=io.StringIO(), every=0.01) as shown:
            shown.advance()
            wait_until(lambda: log.getvalue().count("\n") >= 2)
        lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert {line["event"] for line in lines} == {"progress"}
    assert lines[-1]["done"] == 1
    assert lines[-1]["total"] == 4
    assert lines[-1]["seconds_left"] >= 0


def test_short_work_writes_nothing() -> None:
    quiet = io.StringIO()
    with logged() as log:
        with progress("converting_model", 4, stream=quiet) as shown:
            shown.advance(4)
        assert log.getvalue() == quiet.getvalue() == ""


@contextmanager
def terminal() -> Iterator[tuple[TextIO, int]]:
    """A stream that is a terminal, and the descriptor at which it is read."""
    reader, writer = pty.openpty()
    with os.fdopen(writer, "w", encoding="utf-8") as stream:
        yield stream, reader
    os.close(reader)


def test_on_a_terminal_there_is_a_bar_that_is_wiped_away() -> None:
    with terminal() as (stream, reader):
        with progress("warming_up", 4, "trials", stream=stream, every=0.01) as shown:
            shown.advance(2)
            text = b""
            while b"50%" not in text:
                text += os.read(reader, 4096)
        text += os.read(reader, 4096)
    assert "Warming up" in text.decode()
    assert text.decode().endswith("\r\x1b[K")
    assert "\n" not in text.decode()


def test_a_log_line_does_not_run_into_the_bar() -> None:
    with logged() as log, terminal() as (stream, reader):
        with progress("warming_up", 4, stream=stream, every=0.01):
            text = b""
            while b"Warming" not in text:
                text += os.read(reader, 4096)
            logging.getLogger("limrank.test").info("something")
            wait_until(lambda: "something" in log.getvalue())
        text += os.read(reader, 4096)
    bars = text.decode().split("\r\x1b[K")
    assert bars[-1] == "", "wiped before the line and at the end"


def test_a_failure_passes_through_and_ends_the_bar() -> None:
    with pytest.raises(ValueError, match="x"), progress("warming_up", stream=io.StringIO()):
        raise ValueError("x")
