"""The prompts that were submitted to an engine together, on their way back to the caller."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextvars import copy_context
from dataclasses import dataclass

from service.engine import Completion, Output
from service.errors import EngineDead, EngineFailed


@dataclass(frozen=True, slots=True)
class _Failure:
    """Prompts without a completion, and the reason."""

    indices: tuple[int, ...]
    reason: str


class Submission:
    """The prompts of one `Engine.submit`, and the mailbox that returns their outputs to the caller.

    Create it on the event loop. `deliver`, `fail` and `die` may be called from another thread.
    """

    def __init__(self, count: int) -> None:
        self.cancelled = False
        self._left = count
        self._loop = asyncio.get_running_loop()
        self.context = copy_context()  # of the call, for log lines about its documents
        self._mail: asyncio.Queue[Sequence[Output] | _Failure | EngineDead] = asyncio.Queue()

    def deliver(self, outputs: Sequence[Output]) -> None:
        self._post(outputs)

    def fail(self, indices: Sequence[int], reason: str) -> None:
        self._post(_Failure(tuple(indices), reason))

    def die(self, error: EngineDead) -> None:
        self._post(error)

    async def outputs(self) -> AsyncGenerator[Output]:
        """Yields every output as it arrives. Raises EngineFailed at the end for failed prompts, EngineDead at once."""
        failures: list[_Failure] = []
        while self._left:
            mail = await self._mail.get()
            if isinstance(mail, EngineDead):
                raise mail
            if isinstance(mail, _Failure):
                self._left -= len(mail.indices)
                failures.append(mail)
                continue
            for output in mail:
                self._left -= isinstance(output, Completion)
                yield output
        if failures:
            indices = sorted(index for failure in failures for index in failure.indices)
            raise EngineFailed(f"The engine failed on {len(indices)} passages: {failures[0].reason}", indices)

    def _post(self, mail: Sequence[Output] | _Failure | EngineDead) -> None:
        if self.cancelled:
            return
        try:
            self._loop.call_soon_threadsafe(self._mail.put_nowait, mail)
        except RuntimeError:  # the loop is closed: nobody waits any more
            self.cancelled = True
