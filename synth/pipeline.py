"""Runs a synthesis from its settings to its records: units in order, a bounded number at a time, resumable."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Awaitable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from cli.output import write_text
from contract.records import Record
from llm.base import LLM
from llm.endpoint import Endpoint
from llm.event_loop import new_event_loop
from llm.openai import OpenAILLM
from llm.processes import LLMProcesses
from synth.errors import BadInput, Interrupted
from synth.llm.stage import Role
from synth.methods.corpus.method import CorpusRun, ScoredQuery
from synth.methods.persona.method import LimrankRun
from synth.run.budget import Budget
from synth.run.calls import CachedAsker, Calls, Stopped
from synth.run.folder import RunFolder
from synth.run.method import Phase, Synthesis
from synth.run.progress import Counts, Progress
from synth.settings import Method, RunOptions, RunSettings
from synth.snapshot import keep_snapshot, read_snapshot

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
UNITS_AT_ONCE = 64  # when reading only from the journal


def run(settings: RunSettings, out: TextIO) -> int:
    """Runs a synthesis, or the rest of one. Returns the number of examples accepted by majority.

    Raises a `CommandError` when it must stop early; paid replies are in the journal.
    """
    with RunFolder(settings.run, writing=True) as folder:
        synthesis = method_in(settings.run, settings, settings.templates)
        synthesis.plan()
        llms = connect(settings.endpoints)
        keep_snapshot(settings.run, settings, settings.templates)
        (settings.run / "done.json").unlink(missing_ok=True)
        budget = Budget(settings.budget, folder.totals.cost)
        calls = Calls(folder, llms, budget)
        worker = _Worker(calls, budget, Progress(out, settings.report_seconds))
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            try:
                for phase in synthesis.phases(CachedAsker(folder, settings.endpoints)):
                    runner.run(worker.work_through(phase))
            except KeyboardInterrupt:
                raise Interrupted("Stopped between two phases; run again to go on.") from None
            finally:
                runner.run(_close(llms))
        if calls.failed == 0:
            done = {"judged": worker.judged, "accepted": worker.accepted}
            write_text(settings.run / "done.json", json.dumps(done) + "\n")
    return worker.accepted


def examples(run_folder: Path) -> Iterator[Record]:
    """Every judged pair of a run folder, from its files alone, in the order of its inputs.

    Records of one query are adjacent, the relevant ones first. They are not filtered: see `Record.accepted`. Raises
    `BadInput` when the folder is not a run folder, `RunBusy` while another process works in it.
    """
    options, templates = read_snapshot(run_folder)
    with RunFolder(run_folder, writing=False) as folder, asyncio.Runner() as runner:
        phase = method_in(run_folder, options, templates).last()
        asker = CachedAsker(folder, options.endpoints)
        units = iter(phase.units)
        while batch := list(islice(units, UNITS_AT_ONCE)):
            for records in runner.run(_all([phase.work(unit, asker) for unit in batch])):
                yield from records


def scored_queries(run_folder: Path) -> Iterator[ScoredQuery]:
    """Every query of a corpus run with all scores of its candidates, those between the thresholds too.

    Raises `BadInput` where the folder is no run of the corpus method, `RunBusy` while another process works in it.
    """
    options, templates = read_snapshot(run_folder)
    if options.method is not Method.CORPUS:
        raise BadInput(f"{run_folder} is a run of the method {options.method}, which gives no scores.")
    with RunFolder(run_folder, writing=False) as folder:
        yield from CorpusRun(run_folder, options, templates).scored(CachedAsker(folder, options.endpoints))


def method_in(run_folder: Path, options: RunOptions, templates: Path | None) -> Synthesis:
    """The method of a run. Raises `BadSettings` for an unsuitable template."""
    kind = LimrankRun if options.method is Method.LIMRANK else CorpusRun
    return kind(run_folder, options, templates)


def connect(endpoints: dict[Role, Endpoint]) -> dict[Role, tuple[Endpoint, LLM]]:
    """A model for each role. Roles with equal settings share one, and thus its limits."""
    made: list[tuple[Endpoint, LLM]] = []
    for endpoint in endpoints.values():
        if all(endpoint != other for other, _ in made):
            made.append((endpoint, _client(endpoint)))
    return {role: next(pair for pair in made if pair[0] == endpoint) for role, endpoint in endpoints.items()}


def _client(endpoint: Endpoint) -> LLM:
    if endpoint.ray:
        from llm.on_ray import LLMOnRay  # Ray is an extra

        return LLMOnRay(endpoint)
    return OpenAILLM(endpoint) if endpoint.processes == 1 else LLMProcesses(endpoint)


class _Worker:
    """Works through phases with a bounded number of units at a time, and counts the results."""

    def __init__(self, calls: Calls, budget: Budget, progress: Progress) -> None:
        self._calls = calls
        self._budget = budget
        self._progress = progress
        self.judged = 0
        self.accepted = 0

    async def work_through(self, phase: Phase) -> None:
        """Works through all units of one phase. Raises the error that stopped the calls, after those in flight end."""
        self._progress.begin(phase.name, phase.total, phase.questions, self._counts())
        self._stop_on_signals()
        beat = asyncio.create_task(self._beat())
        try:
            await self._all_units(phase)
        finally:
            await self._calls.finish()
            beat.cancel()
            for number in _SIGNALS:  # between phases no event loop runs that could deliver them
                asyncio.get_running_loop().remove_signal_handler(number)
            self._progress.end(self._counts())
        if self._calls.stopped_by:
            raise self._calls.stopped_by

    async def _all_units(self, phase: Phase) -> None:
        slots = asyncio.Semaphore(self._calls.units_at_once)
        at_work: set[asyncio.Task[None]] = set()
        broken: list[BaseException] = []

        def done(task: asyncio.Task[None]) -> None:
            at_work.discard(task)
            slots.release()
            if not task.cancelled() and (error := task.exception()):
                broken.append(error)

        for unit in phase.units:
            await slots.acquire()
            if broken or self._calls.stopped_by:
                slots.release()
                break
            task = asyncio.create_task(self._unit(phase, unit))
            at_work.add(task)
            task.add_done_callback(done)
        if at_work:
            await asyncio.wait(at_work)
        for error in broken:
            raise error

    async def _unit(self, phase: Phase, unit: Any) -> None:
        try:
            records = await phase.work(unit, self._calls)
        except Stopped:
            return
        self.judged += len(records)
        self.accepted += sum(record.accepted for record in records)
        self._progress.step(self._counts())

    async def _beat(self) -> None:
        """Shows the progress of the phase even while no unit finishes."""
        while True:
            await asyncio.sleep(self._progress.seconds)
            self._progress.show(self._counts())

    def _counts(self) -> Counts:
        return Counts(self._calls.made, self._calls.settled, self._budget.spent, self.accepted)

    def _stop_on_signals(self) -> None:
        """The first signal lets the calls in flight finish; the second stops at once."""
        loop = asyncio.get_running_loop()

        def stop(number: signal.Signals) -> None:
            loop.remove_signal_handler(number)
            self._calls.stop(Interrupted("Stopped; calls in flight were finished. Run again to go on."))

        for number in _SIGNALS:
            loop.add_signal_handler(number, stop, number)


async def _all(works: list[Awaitable[list[Record]]]) -> list[list[Record]]:
    return await asyncio.gather(*works)


async def _close(llms: dict[Role, tuple[Endpoint, LLM]]) -> None:
    for llm in {id(llm): llm for _, llm in llms.values()}.values():
        await llm.close()
