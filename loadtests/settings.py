"""Every knob of a load run, written once: Locust's flag, its environment name (LOADTEST_...) and its help.

Bounded in time and count and on loopback unless told otherwise: a load test that reaches a production service by
mistake is an incident.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

SCENARIOS = ("rag", "batch", "reasoning", "bursts", "disconnecting", "bad_clients", "mixed", "capacity")
SHAPES = ("none", "step", "spike", "soak")
DEFAULT_HOST = "http://127.0.0.1:8080"
LEAST_CALLS_FOR_P99 = 500


class WrongSettingsError(ValueError):
    """A knob that makes no sense. The message says which, and what to do."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What a run must keep, or it exits 1. Shares are of all calls that were expected to succeed."""

    failed: float
    refused: float
    p95_seconds: float | None


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """What one run does. Words are per passage; `passages` replaces the scenario's own numbers where it is set."""

    scenario: str
    shape: str
    key: str
    passages: int | None
    batch_passages: int
    least_words: int
    most_words: int
    seed: int
    max_calls: int
    summary: str
    thresholds: Thresholds


def add_arguments(parser: Any) -> None:
    """Add our flags to Locust's parser (ConfigArgParse), and bound what Locust leaves unbounded."""
    parser.set_defaults(host=DEFAULT_HOST, run_time="60s", num_users=8, spawn_rate=8, stop_timeout="120s")
    flags: list[tuple[str, dict[str, Any]]] = [
        ("--scenario", {"choices": SCENARIOS, "default": "mixed", "help": "who calls"}),
        ("--shape", {"choices": SHAPES, "default": "none", "help": "how the number of callers changes over the run"}),
        ("--key", {"default": "", "is_secret": True, "help": "API key sent as a bearer token"}),
        ("--passages", {"type": int, "default": None, "help": "passages per call in place of the scenario's own"}),
        ("--batch-passages", {"type": int, "default": 1000, "help": "passages per call of the batch job"}),
        ("--least-words", {"type": int, "default": 20, "help": "words of the shortest passage"}),
        ("--most-words", {"type": int, "default": 200, "help": "words of the longest passage"}),
        ("--seed", {"type": int, "default": 1, "help": "the texts are the same for the same seed"}),
        ("--max-calls", {"type": int, "default": 5000, "help": "stop after so many calls, whatever the run time"}),
        ("--summary", {"default": "", "help": "file for the numbers of the run, as JSON"}),
        ("--allow-remote", {"action": "store_true", "help": "let the host be another machine"}),
        ("--max-failed", {"type": float, "default": 0.0, "help": "largest share of calls that may fail"}),
        (
            "--max-refused",
            {"type": float, "default": 0.2, "help": "largest share that may be refused"},
        ),
        ("--max-p95", {"type": float, "default": None, "help": "largest p95 of answered calls, in seconds"}),
    ]
    for flag, options in flags:
        parser.add_argument(flag, env_var=f"LOADTEST_{flag[2:].replace('-', '_').upper()}", **options)


def read(options: Any) -> LoadSettings:
    """The settings of a run. Raise WrongSettingsError."""
    if not (options.allow_remote or is_loopback(options.host)):
        raise WrongSettingsError(f"--host {options.host!r} is not this machine; say --allow-remote if you mean it.")
    if not 1 <= options.least_words <= options.most_words:
        raise WrongSettingsError(
            f"--least-words {options.least_words} must be from 1 to --most-words {options.most_words}."
        )
    for name in ("passages", "batch_passages", "max_calls"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise WrongSettingsError(f"--{name.replace('_', '-')} {value} must be at least 1.")
    return LoadSettings(
        scenario=options.scenario,
        shape=options.shape,
        key=options.key,
        passages=options.passages,
        batch_passages=options.batch_passages,
        least_words=options.least_words,
        most_words=options.most_words,
        seed=options.seed,
        max_calls=options.max_calls,
        summary=options.summary,
        thresholds=Thresholds(options.max_failed, options.max_refused, options.max_p95),
    )


def is_loopback(url: str) -> bool:
    """True where the host of `url` can only be this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
