"""Long journals without an endpoint, and what a command takes in memory and time to go through one."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synth.llm.stage import Keys, Row, Stage, Value
from synth.methods.persona.method import LimrankRun
from synth.run.calls import value_of
from synth.run.folder import RunFolder
from synth.run.journal import JournalRow, Status
from synth.settings import RunSettings
from synth.snapshot import keep_snapshot
from tests.synth.runs import ROOT, limrank_knobs, toml_of

NOBODY = "http://127.0.0.1:9/v1"  # where no endpoint is: a call would end the run
ROWS_PER_SEED = 13
MEASURE = """
import json, sys, time
from pathlib import Path
from synth.cli import main
begun = time.monotonic()
code = main(sys.argv[1:])
seconds = time.monotonic() - begun
memory = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())["VmHWM"]
print(json.dumps([code, int(memory.split()[0]) // 1024, seconds]))
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """The exit code of a command, the most memory it held (MiB) and its seconds, without the interpreter's start."""

    code: int
    mebibytes: int
    seconds: float


def measure(*arguments: str | Path) -> Measured:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return Measured(*json.loads(done.stdout.splitlines()[-1]))


def grow(folder: Path, rows: int) -> tuple[Path, Path]:
    """A finished run of at least `rows` journal rows; its folder and its settings file."""
    knobs = limrank_knobs(folder, NOBODY, seeds=-(-rows // ROWS_PER_SEED))
    settings = RunSettings(**knobs)
    with RunFolder(settings.run, writing=True) as run_folder:
        synthesis = LimrankRun(settings.run, settings, None)
        synthesis.plan()
        keep_snapshot(settings.run, settings, None)
        phase, writer = synthesis.last(), _Writer(run_folder, settings)

        async def all_units() -> None:
            for unit in phase.units:
                await phase.work(unit, writer)

        asyncio.run(all_units())
    return settings.run, toml_of(knobs, folder / "settings.toml")


class _Writer:
    """An `Asker` that answers everything itself, into the journal: replies of usual length, all accepted."""

    def __init__(self, folder: RunFolder, settings: RunSettings) -> None:
        self._folder = folder
        self._keys = Keys(settings.endpoints)

    async def ask(self, stage: Stage[Row, Value], row: Row, input_id: str, vote: int = 1) -> Value | None:
        reply = _REPLIES[stage.name].replace("MARK", input_id)
        if "/positive/" not in input_id:
            reply = reply.replace("true", "false")
        written = JournalRow(
            stage=stage.name,
            key=self._keys.key(stage, row, vote),
            attempt=1,
            input_id=input_id,
            model="writer",
            reply=reply,
            reasoning="",
            prompt_tokens=400,
            completion_tokens=200,
            cost=0.001,
            status=Status.ACCEPTED,
            reason="",
            at=time.time(),
            seconds=1.0,
        )
        self._folder.append(written)
        return value_of(stage, written)


def _passage(words: str, count: int) -> str:
    return "MARK " + words * count


_PAIR: dict[str, Any] = {"query": "MARK, and what else?", "relevance": "It says what else there is to MARK."}
_REPLIES = {
    "limrank.queries": json.dumps(
        {"daily_life": _PAIR, "expert": _PAIR | {"query": "MARK, in the terms of the trade."}}
    ),
    "limrank.positive": json.dumps({"reasoning": _passage("it fits ", 20), "passage": _passage("this fits ", 60)}),
    "limrank.negative": json.dumps({"reasoning": _passage("it misses ", 20), "passage": _passage("this misses ", 60)}),
    "limrank.judge": json.dumps({"reasoning": _passage("the query needs it ", 40), "relevant": True}),
}
