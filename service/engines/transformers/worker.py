"""The one thread in which the model runs, and the mailbox through which the event loop gives it work."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from queue import SimpleQueue

import torch

from service.engines.causal.requests import Request
from service.engines.submission import Submission
from service.engines.transformers.runner import BatchRunner
from service.errors import EngineDead

_log = logging.getLogger("limrank.transformers_engine")


@dataclass(frozen=True, slots=True)
class _Submit:
    submission: Submission
    requests: Sequence[Request]


@dataclass(frozen=True, slots=True)
class _Cancel:
    submission: Submission


class _Stop:
    pass


class EngineThread:
    """Runs `runner` until stopped. `fault` is a sentence once nothing can be scored any more."""

    def __init__(self, runner: BatchRunner, threads: int | None) -> None:
        self.fault: str | None = None
        self._runner = runner
        self._threads = threads
        self._open: set[Submission] = set()  # unfinished: each ends with a cancel, answered ones too
        self._inbox: SimpleQueue[_Submit | _Cancel | _Stop] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="limrank-engine", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, submission: Submission, requests: Sequence[Request]) -> None:
        """Hands over the requests of a submission. Raises EngineDead when the thread no longer takes work."""
        self._inbox.put(_Submit(submission, requests))
        if self.fault is not None:  # checked after the put: the thread sets the fault, then empties the mailbox
            raise EngineDead(self.fault)

    def cancel(self, submission: Submission) -> None:
        """Drops a submission; what the running batch or step computes for it is discarded."""
        submission.cancelled = True
        self._inbox.put(_Cancel(submission))

    def stop(self) -> None:
        """Ends the thread after the running batch or step; remaining submissions get EngineDead. Blocks until the
        thread has ended."""
        self._inbox.put(_Stop())
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        try:
            if self._threads is not None:
                torch.set_num_threads(self._threads)
            with torch.inference_mode():
                while self._take_mail():
                    self._runner.run_once()
            self._end("The engine has been stopped.")
        except BaseException as error:  # noqa: BLE001 - otherwise the thread would end and callers wait forever
            _log.critical("engine_thread_died", exc_info=error)
            self._end(f"The engine's thread has died ({type(error).__name__}: {error}); restart the server.")

    def _take_mail(self) -> bool:
        """Reads the mailbox, and waits for mail when there is nothing else to do. Returns False to stop."""
        while not (self._inbox.empty() and self._runner.has_work):
            mail = self._inbox.get()
            if isinstance(mail, _Stop):
                return False
            if isinstance(mail, _Cancel):
                self._open.discard(mail.submission)
                self._runner.cancel(mail.submission)
            elif not mail.submission.cancelled:
                self._open.add(mail.submission)
                self._runner.add(mail.requests)
        return True

    def _end(self, fault: str) -> None:
        self.fault = fault
        while not self._inbox.empty():
            mail = self._inbox.get()
            if isinstance(mail, _Submit):
                self._open.add(mail.submission)
        for submission in self._open:
            submission.die(EngineDead(fault))
