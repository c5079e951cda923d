"""The causal model with traces, from the pairs that a language model graded: trained on a GPU, else a dry run."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cli.errors import BadInput, Interrupted
from cli.output import write_text, write_whole
from contract.records import Record, write_records
from synth.pipeline import examples
from trainer.run.bases import resolve
from trainer.run.folder import RunFolder
from trainer.run.ready import ready
from trainer.settings import Merge, Sft

_LEAST = 20  # records


def write_traced(run_folder: Path, path: Path) -> int:
    """The pairs of a synthesis that have a trace, as records; their number. Raises `BadInput` for too few."""
    count = write_whole(path, write_records, _traced(run_folder))
    if count < _LEAST:
        raise BadInput(
            f"Only {count} graded pairs have a clear label and a trace, and {_LEAST} are needed; raise --llm-queries."
        )
    return count


def train_reasoning(data: Path, base: Path, folder: Path, out: Path, plan: Path, seed: int) -> Mapping[str, Any]:
    """On a GPU the trained and merged model in `out`; without one the plan of a dry run in the file `plan`."""
    import torch

    from trainer.sft.train import train_sft

    gpu = torch.cuda.is_available()
    settings = ready(Sft(data=data, base=base, folder=folder, seed=seed, leg_minutes=1e6, dry_run=not gpu))
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        if not RunFolder(folder).ended_sessions():
            train_sft(settings)
    if not gpu:
        write_text(plan, told.getvalue())
        return {"trained": False, "plan": told.getvalue().strip()}
    if not (folder / "adapter").exists():
        raise Interrupted("Stopped in the training of the causal model, with a checkpoint; the same command goes on.")
    from trainer.publish.merge import merge

    with contextlib.redirect_stdout(told):
        merge(Merge(base=resolve(base).folder, adapter=folder / "adapter", out=out))
    write_text(plan, told.getvalue())
    return {"trained": True, "plan": ""}


def _traced(run_folder: Path) -> Iterator[Record]:
    return (record for record in examples(run_folder) if record.accepted and record.trace)
