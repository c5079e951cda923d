"""What Locust loads: the scenarios, bounded and judged by the settings.

.venv-load/bin/locust -f loadtests/locustfile.py --headless --scenario rag --users 4 --run-time 60s
"""

# mypy: disable-error-code="untyped-decorator"
from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import gevent
from locust import events

from loadtests import shapes
from loadtests.callers import Caller
from loadtests.modes import modes
from loadtests.scenarios import mixed
from loadtests.scenarios.bad_clients import BadClient
from loadtests.scenarios.batch import BatchUser
from loadtests.scenarios.bursts import BurstUser
from loadtests.scenarios.capacity import CapacityUser
from loadtests.scenarios.disconnecting import DisconnectingUser
from loadtests.scenarios.rag import RagUser
from loadtests.scenarios.reasoning import ReasoningUser
from loadtests.settings import WrongSettingsError, add_arguments, read
from loadtests.tally import Tally

ALONE: tuple[type[Caller], ...] = (
    RagUser,
    BatchUser,
    ReasoningUser,
    BurstUser,
    DisconnectingUser,
    BadClient,
    CapacityUser,
)
_EXIT_MISSED = 1
_EXIT_WRONG_SETTINGS = 2


@events.init_command_line_parser.add_listener
def flags(parser: Any) -> None:
    """Our flags, beside Locust's own."""
    add_arguments(parser)


@events.init.add_listener
def prepare(environment: Any, runner: Any, **_: Any) -> None:
    """Choose who calls and how many, before Locust starts."""
    options = environment.parsed_options
    try:
        settings = read(options)
    except WrongSettingsError as error:
        sys.stderr.write(f"loadtests: {error}\n")
        sys.exit(_EXIT_WRONG_SETTINGS)
    environment.settings = settings
    environment.tally = Tally()
    chosen = [kind for kind in ALONE if kind.scenario == settings.scenario]
    environment.user_classes = chosen or mixed.callers(modes(environment.host or options.host, settings.key))
    environment.shape_class = shapes.shape(settings.shape, options.run_time, options.num_users)
    if environment.shape_class is not None:
        environment.shape_class.runner = runner
    gevent.spawn(_stop_after, environment, settings.max_calls)
    # The run time counts from the loop's idea of now, which is as old as the imports: a run of 2 s ended after 0.7.
    gevent.get_hub().loop.update_now()


def _stop_after(environment: Any, calls: int) -> None:
    while environment.tally.calls < calls:
        gevent.sleep(0.05)
    environment.runner.quit()


@events.quitting.add_listener
def judge(environment: Any, **_: Any) -> None:
    """Write the numbers down, and exit non-zero where a threshold was missed."""
    tally, settings = environment.tally, environment.settings
    missed = tally.missed(settings.thresholds)
    summary = {"scenario": settings.scenario, **tally.summary(), "missed": missed}
    if settings.summary:
        Path(settings.summary).write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    for sentence in missed:
        sys.stderr.write(f"threshold missed: {sentence}\n")
    if missed:
        environment.process_exit_code = _EXIT_MISSED
