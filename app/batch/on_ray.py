"""Runs a batch on a Ray cluster: Ray Data sends blocks of calls to actors, each of which holds the model, and yields
their answers as they arrive. When a worker dies, Ray gives its blocks to another one.

The machine that runs the command reads the file of calls and writes OUT. Worker nodes need no shared disk, only limrank
and the model.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from app.batch.asking import Asker
from app.batch.calls import Calls, parse_call
from app.batch.progress import Progress, tokens_of
from app.batch.results import Results, result_line
from app.batch.settings import Batch
from app.connection import Connection, Target, connect, model_flags, note
from app.errors import ServiceFailed
from cli.errors import BadSettings, CommandError
from cli.ray_cluster import ray_cluster

_BLOCK_CALLS, _BLOCK_BYTES = 256, 1 << 20  # answered again when a worker dies; see _BLOCKS_AT_A_TIME
_BLOCKS_AT_A_TIME = 2  # per worker, so that its engine never waits for the next block
_READERS = 2  # a block is read in milliseconds, but for each that is read at once Ray starts a process, for seconds
_TOKENS = ("prompt", "cached", "reasoning")


class Answers:
    """A worker: holds the model and answers blocks of calls. Created and called by Ray, from several threads."""

    def __init__(self, target: Target, environ: Mapping[str, str]) -> None:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        os.environ.update(environ)
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._opened = connect(target)
        self._connection: Connection = self._wait(self._opened.__aenter__())
        self._asker = Asker(self._connection.client)
        self._about = json.dumps(self._connection.model, sort_keys=True)

    def __call__(self, block: Any) -> Any:
        """Takes a table of lines, returns a table of answers."""
        import pyarrow

        rows = self._wait(self._answer([line.as_py() for line in block["line"]]))
        return pyarrow.Table.from_pylist(rows)

    async def _answer(self, lines: list[bytes]) -> list[dict[str, Any]]:
        return await asyncio.gather(*(self._row(line) for line in lines))

    async def _row(self, line: bytes) -> dict[str, Any]:
        call = parse_call(line)
        outcome = await self._asker.ask(call)
        failed = outcome.error is not None
        return {
            "line": result_line(call, outcome),
            "failed": failed,
            "documents": 0 if failed else call.documents,
            "about": self._about,
            **dict.fromkeys(_TOKENS, 0),
            **({} if failed else tokens_of(outcome.body)),
        }

    def _wait(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


def answer_on_ray(settings: Batch, calls: Calls, rows: Iterator[int], results: Results, progress: Progress) -> bool:
    """Answers the calls of `rows` on the cluster at `settings.ray`. Returns False when a signal stopped it.

    Raises BadSettings when Ray is missing or the cluster has no room, ServiceFailed when a worker cannot continue.
    """
    assert settings.ray is not None
    with ray_cluster(settings.ray) as ray:
        try:
            answered = _dataset(ray, settings, calls, rows).iter_rows()
            _write(answered, results, progress)
        except KeyboardInterrupt:
            return False
        except CommandError:
            raise
        except Exception as error:  # Ray's own errors, and errors of a worker that they wrap
            raise ServiceFailed(f"The workers cannot go on: {_cause(error)} What was answered is kept.") from error
    return True


def _write(answered: Iterator[Mapping[str, Any]], results: Results, progress: Progress) -> None:
    known = None
    for row in answered:
        if row["about"] != known:
            known = row["about"]
            results.belongs_to(json.loads(known))
        results.write(row["line"], failed=row["failed"])
        failed = bool(row["failed"])
        tokens = {kind: int(row[kind]) for kind in _TOKENS}
        progress.add(int(not failed), int(failed), int(row["documents"]), tokens)


def _dataset(ray: Any, settings: Batch, calls: Calls, rows: Iterator[int]) -> Any:
    """A lazy dataset of answers: computed while it is read."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    share, workers = _share(ray.cluster_resources(), settings)
    note(f"limrank batch: {workers} workers of {' and '.join(f'{n:g} {kind[4:]}' for kind, n in share.items())}")
    here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
    blocks = list(_blocks(calls, rows))
    source = _source(ray, calls.path, blocks)
    flags = model_flags(
        model=settings.model,
        engine=settings.engine,
        mode=settings.mode,
        default_reasoning_budget=settings.reasoning_budget,
        threads=settings.threads or (settings.ray_cpus if "num_cpus" in share else None),
    )
    environ = {name: value for name, value in os.environ.items() if name.startswith("LIMRANK_")}
    return ray.data.read_datasource(
        source, override_num_blocks=len(blocks), concurrency=_READERS, num_cpus=0, label_selector=here
    ).map_batches(
        Answers,
        fn_constructor_args=(Target(flags=flags), environ),
        batch_size=None,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(
            size=workers,
            max_tasks_in_flight_per_actor=2 * _BLOCKS_AT_A_TIME,
            max_concurrent_calls_per_actor=_BLOCKS_AT_A_TIME,
            enable_true_multi_threading=True,
        ),
        **share,
    )


def _share(resources: Mapping[str, float], settings: Batch) -> tuple[dict[str, float], int]:
    """The resources of each worker, and the number of workers. Raises BadSettings when not even one fits."""
    gpus, cpus = resources.get("GPU", 0.0), resources.get("CPU", 0.0)
    if gpus or settings.ray_gpus:
        share: dict[str, float] = {"num_gpus": settings.ray_gpus or 1.0}
        fits, has = int(gpus // share["num_gpus"]), f"{gpus:g} GPUs"
    else:
        share = {"num_cpus": float(settings.ray_cpus)}
        fits, has = int(cpus // settings.ray_cpus), f"{cpus:g} CPUs"
    if not fits:
        raise BadSettings(f"The cluster has {has}, too few for one worker; lower --ray-cpus or --ray-gpus.")
    if settings.ray_workers is not None and settings.ray_workers > fits:
        raise BadSettings(f"'ray_workers' is {settings.ray_workers}: the cluster has {has}, room for {fits}.")
    return share, settings.ray_workers or fits


def _blocks(calls: Calls, rows: Iterator[int]) -> Iterator[list[tuple[int, int]]]:
    """The lines of each block as (byte offset, length) in the file."""
    block: list[tuple[int, int]] = []
    size = 0
    for place in chain(map(calls.place, rows), ((0, -1),)):
        if block and (place[1] < 0 or len(block) == _BLOCK_CALLS or size + place[1] > _BLOCK_BYTES):
            yield block
            block, size = [], 0
        block.append(place)
        size += place[1]


def _source(ray: Any, path: Path, blocks: list[list[tuple[int, int]]]) -> Any:
    """A Ray Data source that reads one block of lines per task."""
    from ray.data.block import BlockMetadata
    from ray.data.datasource import Datasource, ReadTask

    class Lines(Datasource):  # type: ignore[misc]  # Ray has no types where this is checked
        def estimate_inmemory_data_size(self) -> int:
            return sum(size for block in blocks for _, size in block)

        def get_read_tasks(self, parallelism: int, *_: Any, **__: Any) -> list[Any]:
            return [
                ReadTask(
                    lambda block=block: [_read(path, block)],
                    BlockMetadata(
                        num_rows=len(block),
                        size_bytes=sum(size for _, size in block),
                        input_files=None,
                        exec_stats=None,
                    ),
                )
                for block in blocks
            ]

    return Lines()


def _read(path: Path, block: list[tuple[int, int]]) -> Any:
    import pyarrow

    file = os.open(path, os.O_RDONLY)
    try:
        return pyarrow.table({"line": [os.pread(file, size, begin) for begin, size in block]})
    finally:
        os.close(file)


def _cause(error: BaseException) -> str:
    """The message of a worker's error, unwrapped from Ray's exceptions."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, CommandError):
            return str(seen)
        inner = getattr(seen, "cause", None) or seen.__cause__
        seen = inner if isinstance(inner, BaseException) else None
    return f"{type(error).__name__}: {_first_line(error)}"


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
