"""`python -m recipes.limrank_mini table`: the full table of both models, step by step; called by `make eval-mini`.

Three passes, each with its own service process: the cross-encoder, limrank-mini in direct mode, and limrank-mini in
reasoning mode. Every step journals its scores; the same command resumes a stopped run.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from cli.choices import Dtype, EngineName
from evaluation.benchmarks.names import named
from evaluation.benchmarks.task import Task
from evaluation.commands.calibrate import calibrate
from evaluation.commands.compare import compare
from evaluation.commands.injections import probe_injections
from evaluation.commands.rank import forget_not_run, not_run, rank_task, slug
from evaluation.commands.report import write_report
from evaluation.errors import NotAvailable, ScorerFailed
from evaluation.reports.lines import calibration_line, comparison_line, injections_line, result_line
from evaluation.results.files import made, write_json
from evaluation.results.ranking import RankingResult, read_result
from evaluation.scorers.http import HttpScorer, ServiceOptions
from evaluation.scorers.local_service import local_service
from evaluation.settings import Command
from recipes.limrank_mini.check_traces import check_traces, traces_line
from recipes.limrank_mini.targets import targets

Pass = Literal["cross-encoder", "direct", "reasoning"]
_OF_A_MODE = ("mode", "temperature", "max_reasoning_tokens")
PASSES: tuple[Pass, ...] = ("cross-encoder", "direct", "reasoning")


class _Result(Protocol):
    def to_json(self) -> dict[str, Any]: ...


Kind = TypeVar("Kind", bound=_Result)


class MiniSettings(Command):
    """The full table of limrank-mini and limrank-mini-ce, and whether it meets the targets."""

    model_config = SettingsConfigDict(cli_prog_name="python -m recipes.limrank_mini table")

    data: Path = Field(description="folder that holds medquad/ and dl19/, each a BEIR folder with candidates")
    out: Path = Field(description="folder for results; the same folder resumes a stopped run")
    model: str = Field(default="limrank-mini", description="the causal model: embedded name or folder")
    cross_encoder_model: str = Field(
        default="limrank-mini-ce", description="the cross-encoder: embedded name or folder"
    )
    only: list[Pass] = Field(default=[], description="passes to run, by commas: cross-encoder, direct, reasoning")
    cross_encoder_queries: int | None = Field(default=None, ge=1, description="MedQuAD queries; default: all 1,146")
    direct_queries: int = Field(default=600, ge=1, description="MedQuAD queries in direct mode")
    reasoning_queries: int = Field(default=200, ge=1, description="MedQuAD queries in reasoning mode")
    dl19_queries: int | None = Field(default=None, ge=1, description="DL19 queries; default: all 43")
    pairs: int = Field(default=2000, ge=5, description="dev pairs for calibration, for each model and mode")
    trace_pairs: int = Field(default=200, ge=5, description="dev pairs whose traces are checked")
    injections: int = Field(default=20, ge=1, description="irrelevant passages with an injected sentence each")
    fit_pairs: int | None = Field(default=None, ge=5, description="train pairs to fit a temperature on; unset: none")
    max_tokens_per_doc: int | None = Field(
        default=112, ge=1, description="truncate passages for the causal model; None: the model's limit"
    )
    cross_encoder_max_tokens_per_doc: int | None = Field(
        default=256, ge=1, description="truncate passages for the cross-encoder; None: the model's limit"
    )
    max_reasoning_tokens: int | None = Field(default=None, ge=1, description="trace budget; default: the service's")
    concurrency: int = Field(default=10, ge=1, description="concurrent calls to the service; few disturb traces less")
    documents_per_call: int = Field(default=30, ge=1, description="passages per call; a stop loses at most this many")
    engine: EngineName = Field(default="auto", description="engine of the causal model")
    dtype: Dtype = Field(default="bfloat16", description="number format of the weights in the service")
    threads: int | None = Field(default=None, ge=1, description="CPU threads of the service")
    timeout_seconds: float = Field(default=1800.0, gt=0, description="longest time for one call")


def run(settings: MiniSettings) -> str:
    """Runs all passes, prints a line after each step, and returns the location of the report.

    A pass whose model cannot be served is reported as not run; the others continue, and `ScorerFailed` is raised at the
    end.
    """
    settings.out.mkdir(parents=True, exist_ok=True)
    found: dict[str, dict[str, Any]] = {}
    failed: list[Pass] = []
    for one in settings.only or PASSES:
        model = settings.cross_encoder_model if one == "cross-encoder" else settings.model
        options = _options(settings, one)
        try:
            log = settings.out / "service.log"
            engine = "auto" if one == "cross-encoder" else settings.engine
            served = local_service(model, options, log, engine=engine, dtype=settings.dtype, threads=settings.threads)
            with served as scorer:
                forget_not_run(settings.out, f"{one} pass with {model}")
                _Steps(settings, one, scorer, found).run()
        except ScorerFailed as error:
            _say(not_run(settings.out, "mini", f"{one} pass with {model}", str(error)))
            failed.append(one)
    _compare(settings, found)
    _check(settings, found)
    location = write_report(settings.out, "The embedded models")
    if failed:
        raise ScorerFailed(f"{location}; but not run: {', '.join(failed)}. The report says why.")
    return location


class _Steps:
    """The steps of one pass, cheapest first."""

    def __init__(self, settings: MiniSettings, one: Pass, scorer: HttpScorer, found: dict[str, dict[str, Any]]) -> None:
        self._settings, self._one, self._scorer, self._found = settings, one, scorer, found
        self._stage = "minilm" if one == "cross-encoder" else "bm25"
        self._medquad = settings.data / "medquad"

    def run(self) -> None:
        """Raises `NotAvailable` without MedQuAD. Without DL19, records that step as not run."""
        test = named("medquad").open("test", self._medquad, self._stage)
        dev = named("medquad").open("dev", self._medquad, None)
        self._inject(test)
        if self._one == "reasoning":
            self._traces(dev)
        if self._one != "reasoning":
            self._dl19()
        self._calibrate(dev)
        self._medquad_test(test)

    def _inject(self, test: Task) -> None:
        found = probe_injections(
            test,
            self._scorer,
            out=self._settings.out,
            passages=self._settings.injections,
            depth=30,
            first_stage=self._stage,
            every=False,
            documents_per_call=self._settings.documents_per_call,
        )
        self._keep("injections", found, injections_line)

    def _traces(self, dev: Task) -> None:
        found = check_traces(
            dev,
            self._medquad,
            self._scorer,
            out=self._settings.out,
            pairs=self._settings.trace_pairs,
            documents_per_call=self._settings.documents_per_call,
        )
        self._found["traces"] = found
        _say(traces_line(found))

    def _dl19(self) -> None:
        try:
            task = named("trec-dl").open("test", self._settings.data / "dl19", None)
        except NotAvailable as error:
            _say(not_run(self._settings.out, "trec-dl", "trec-dl/dl19", str(error)))
            return
        forget_not_run(self._settings.out, "trec-dl/dl19")
        self._keep("dl19", self._rank(task, "trec-dl", self._settings.dl19_queries, 100, None), result_line)

    def _calibrate(self, dev: Task) -> None:
        fit = None if self._settings.fit_pairs is None else named("medquad").open("train", self._medquad, None)
        found = calibrate(
            dev,
            self._scorer,
            out=self._settings.out,
            pairs=self._settings.pairs,
            documents_per_call=self._settings.documents_per_call,
            fit=fit,
            fit_pairs=self._settings.fit_pairs or 0,
        )
        self._keep("calibration", found, calibration_line)

    def _medquad_test(self, test: Task) -> None:
        count = {
            "cross-encoder": self._settings.cross_encoder_queries,
            "direct": self._settings.direct_queries,
            "reasoning": self._settings.reasoning_queries,
        }[self._one]
        depth = 100 if self._one == "cross-encoder" else 30
        self._keep("medquad", self._rank(test, "medquad", count, depth, self._stage), result_line)

    def _rank(self, task: Task, benchmark: str, queries: int | None, depth: int, stage: str | None) -> RankingResult:
        return rank_task(
            task,
            self._scorer,
            benchmark=benchmark,
            out=self._settings.out,
            queries=queries,
            depth=depth,
            first_stage=stage,
            documents_per_call=self._settings.documents_per_call,
        )

    def _keep(self, step: str, result: Kind, line: Callable[[Kind], str]) -> None:
        self._found[f"{self._one} {step}"] = result.to_json()
        _say(line(result))


def _compare(settings: MiniSettings, found: dict[str, dict[str, Any]]) -> None:
    """Compares reasoning with direct on the queries that both have. Results of an earlier run count too."""
    folder = settings.out / "medquad-test" / "bm25-30"
    names = [slug(f"{Path(settings.model).name} ({mode})") for mode in ("reasoning", "direct")]
    if not all((folder / name / "result.json").is_file() for name in names):
        return
    one, two = (read_result(folder / name).identity for name in names)
    if _apart_from_mode(one) != _apart_from_mode(two):
        _say("Reasoning is not compared with direct mode: they were measured with different models or settings.")
        return
    comparison = compare(folder / names[0], folder / names[1], "nDCG@10")
    found["comparison"] = comparison.to_json() | {"identity": one}
    (settings.out / "comparison").mkdir(exist_ok=True)
    write_json(settings.out / "comparison" / "comparison.json", found["comparison"])
    _say(comparison_line(comparison))


def _check(settings: MiniSettings, found: dict[str, dict[str, Any]]) -> None:
    """Checks the results against the targets. A pass that did not run this time keeps its earlier results if model and
    settings are the same."""
    path = settings.out / "steps.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    known = {step: one for step, one in known.items() if _belongs(step, one, found)} | found
    write_json(path, known)
    checked = targets(known)
    write_json(settings.out / "targets.json", {"kind": "targets", "targets": checked, "made": asdict(made())})
    marks = {True: "met", False: "MISSED", None: "not measured"}
    for one in checked:
        _say(f"{marks[one['met']]}: {one['target']}: {one['measured'] or '-'} ({one['bound']})")


def _belongs(step: str, one: dict[str, Any], found: dict[str, dict[str, Any]]) -> bool:
    """Whether an earlier step used the model that was measured now; True when that model was not measured now."""
    of_encoder = step.startswith("cross-encoder")
    now = next((new for name, new in found.items() if name.startswith("cross-encoder") == of_encoder), None)
    return now is None or _apart_from_mode(one.get("identity", {})) == _apart_from_mode(now["identity"])


def _apart_from_mode(identity: Mapping[str, Any]) -> dict[str, Any]:
    """The part of the identity that all passes of one model share."""
    return {name: value for name, value in identity.items() if name not in _OF_A_MODE}


def _options(settings: MiniSettings, one: Pass) -> ServiceOptions:
    cut = settings.cross_encoder_max_tokens_per_doc if one == "cross-encoder" else settings.max_tokens_per_doc
    return ServiceOptions(
        mode="reasoning" if one == "reasoning" else "direct",
        max_reasoning_tokens=settings.max_reasoning_tokens,
        max_tokens_per_doc=cut,
        concurrency=settings.concurrency,
        timeout_seconds=settings.timeout_seconds,
    )


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
