"""The benchmarks by name: data sources, tasks and published figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from evaluation.benchmarks import beir, bright, followir, litsearch
from evaluation.benchmarks.compared import compared_by_reading
from evaluation.benchmarks.data_source import DataSource
from evaluation.benchmarks.task import Task
from evaluation.errors import BadSettings, NotAvailable

Loader = Callable[[DataSource, str, str | None], Task]
DEFAULT = "medquad"  # the benchmark used when none is named


@dataclass(frozen=True, slots=True)
class Published:
    """A published figure in its own unit, which is `scale` times ours. It is the mean over `tasks`; empty means all
    tasks of the benchmark."""

    system: str
    measure: str
    value: float
    note: str
    scale: float = 100.0
    tasks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Benchmark:
    """`hub` maps each task to its dataset on the hub; "" means that a folder must be given. `depth` is the default
    number of candidates per query. With `searches`, `variant` names the configuration whose queries the first stage
    searches with; otherwise it names candidates in the data. `topic` maps a query id to its topic, which several
    queries may share."""

    name: str
    hub: Mapping[str, str]
    load: Loader
    about: str
    folder_for_each_task: bool = False
    published: tuple[Published, ...] = ()
    depth: int = 100
    searches: bool = False
    topic: Callable[[str], str] = str

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(self.hub)

    def open(self, task: str, data: Path | None, variant: str | None) -> Task:
        """Opens one task, from the folder `data` or from the hub. Raises `NotAvailable` when the data is missing."""
        if task not in self.hub:
            raise BadSettings(f"'{task}' is no task of {self.name}; its tasks are {', '.join(self.tasks)}.")
        if data is None and not self.hub[task]:
            raise NotAvailable(f"{self.name} is read from a folder only; name it with --data.")
        if data is not None and not data.is_dir():
            raise NotAvailable(f"the folder {data} does not exist.")
        folder = data / task if data is not None and self.folder_for_each_task else data
        return compared_by_reading(self.load(DataSource(self.hub[task] or self.name, folder), task, variant))


_LIMRANK = "LimRank 7B (arXiv 2510.23544)"
BENCHMARKS: Mapping[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark(
            "bright",
            dict.fromkeys(bright.TASKS, bright.HUB),
            bright.load,
            "retrieval that takes reasoning, 12 tasks (arXiv 2407.12883)",
            searches=True,
            published=(
                Published(_LIMRANK, "nDCG@10", 28.0, "mean of the 12 tasks, times 100; its first stage may differ"),
            ),
        ),
        Benchmark(
            "followir",
            followir.HUBS,
            followir.load,
            "instruction following, 3 tasks (arXiv 2403.15246)",
            folder_for_each_task=True,
            published=(
                Published(
                    _LIMRANK, "p-MRR", 1.2, "mean of the 3 tasks, times 100; over all 1,000 candidates of each query"
                ),
            ),
            depth=1000,  # all candidates in the data
            topic=followir.topic,
        ),
        Benchmark(
            "litsearch",
            dict.fromkeys(litsearch.TASKS, litsearch.HUB),
            litsearch.load,
            "literature search (arXiv 2407.18940)",
            published=(Published(_LIMRANK, "R@5", 60.1, "times 100"),),
        ),
        Benchmark(
            "medquad",
            dict.fromkeys(("test", "dev", "train"), ""),
            partial(
                beir.load_two_readings,
                name="medquad",
                about="MedQuAD, split without shared focus or answer",
                licence="CC-BY-4.0",
            ),
            "medical questions and their answers, a BEIR folder",
            published=(
                Published(
                    "Peshevski et al., cross-encoder with LCE",
                    "nDCG@10",
                    0.952,
                    "on its own split of MedQuAD, not this one",
                    1.0,
                    ("test",),
                ),
            ),
        ),
        Benchmark("trec-dl", {"test": ""}, beir.load_trec_dl, "TREC Deep Learning passages, a BEIR folder"),
        Benchmark("beir", dict.fromkeys(("test", "dev", "train"), ""), beir.load, "any BEIR folder"),
    )
}


def topic_of(name: str) -> Callable[[str], str]:
    """The function of a benchmark that maps a query id to its topic."""
    return BENCHMARKS[name].topic if name in BENCHMARKS else str


def named(name: str) -> Benchmark:
    """The benchmark of this name; `beir:scifact` is `BeIR/scifact` on the hub. Raises `BadSettings` for an unknown
    name."""
    if name.startswith("beir:"):
        hub = f"BeIR/{name.removeprefix('beir:')}"
        return Benchmark(name, dict.fromkeys(("test", "dev", "train"), hub), beir.load, f"{hub} on the hub")
    if name not in BENCHMARKS:
        raise BadSettings(f"'{name}' is no benchmark; there are {', '.join(BENCHMARKS)}, beir:NAME and gpqa.")
    return BENCHMARKS[name]
