"""The one thread in which the model runs, and the box through which the event loop gives it work."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from queue import SimpleQueue

import torch

from service.engines.causal.requests import Request, Submission
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
    """Runs `runner` until it is stopped. `fault` is a sentence once nothing can be scored any more."""

    def __init__(self, runner: BatchRunner, threads: int | None) -> None:
        self.fault: str | None = None
        self._runner = runner
        self._threads = threads
        self._open: set[Submission] = set()  # that are not over: each ends with a cancel, also when it is answered
        self._inbox: SimpleQueue[_Submit | _Cancel | _Stop] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="limrank-engine", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, submission: Submission, requests: Sequence[Request]) -> None:
        """Hand over the requests of a submission. Raise EngineDead when nobody would take them."""
        self._inbox.put(_Submit(submission, requests))
        if self.fault is not None:  # looked at after the put: the thread empties the box after it sets the fault
            raise EngineDead(self.fault)

    def cancel(self, submission: Submission) -> None:
        """Forget a submission; what is in the batch or step that runs now is computed and thrown away."""
        submission.cancelled = True
        self._inbox.put(_Cancel(submission))

    def stop(self) -> None:
        """End the thread after what runs now; submissions that are left get EngineDead. Blocks until it has ended."""
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
        except BaseException as error:  # noqa: BLE001 - else the thread would end and callers wait forever
            _log.critical("engine_thread_died", exc_info=error)
            self._end(f"The engine's thread has died ({type(error).__name__}: {error}); restart the server.")

    def _take_mail(self) -> bool:
        """Read what has come, and wait for it when there is nothing else to do. False: stop."""
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
