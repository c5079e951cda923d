"""Checks a run's settings and files, and reports all problems at once, before a model library is loaded."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from contract import scored_groups
from trainer.errors import BadSettings, CommandError
from trainer.run.bases import problem_of, resolve
from trainer.run.batching import Batching
from trainer.settings import UNKNOWN, Sft, Training

AnyTraining = TypeVar("AnyTraining", bound=Training)
# The fields of /proc/cpuinfo of CPUs with bfloat16 units, on x86 and on ARM.
_BFLOAT16_UNITS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
_EXPORTS = {
    "limrank.records": "pointwise",
    "limrank.setwise": "setwise",
    "limrank.listwise": "listwise",
    "limrank.groups": "lce",
    scored_groups.FORMAT: "lce",
}
_HELD = {"pointwise": "records", "lce": "groups", "setwise": "setwise rows", "listwise": "listwise rows"}


def ready(settings: AnyTraining, read: Callable[[Path], object] | None = None) -> AnyTraining:
    """Resolves the base to a folder on disk and chooses the precision. `read` reads the training file, and raises
    CommandError when it is unusable.

    Raises BadSettings with one sentence per problem.
    """
    if problems := list(_problems(settings, read)):
        raise BadSettings("\n".join(problems))
    base = resolve(settings.base)
    changed: dict[str, object] = {"base": base.folder, "precision": precision_of(settings.precision)}
    if settings.base_name is None and base.name != base.folder.name:
        changed["base_name"] = base.name
    if settings.base_licence == UNKNOWN and base.licence is not None:
        changed["base_licence"] = base.licence
    return settings.model_copy(update=changed)


def precision_of(wanted: str) -> str:
    """Resolves `auto` to what this machine computes in hardware. Warns about emulated bfloat16, which is slow."""
    if wanted == "float32":
        return wanted
    fast = _has_bfloat16()
    if wanted == "bfloat16" and not fast:
        sys.stderr.write(
            "limrank-train: --precision bfloat16 is emulated on this CPU, which takes many times as long; "
            "float32 or auto do not.\n"
        )
    return wanted if wanted != "auto" else "bfloat16" if fast else "float32"


def _has_bfloat16() -> bool:
    import torch  # takes a second, and every training run needs it anyway

    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return bool(_BFLOAT16_UNITS & set(flags.split()))


def _problems(settings: Training, read: Callable[[Path], object] | None) -> Iterator[str]:
    if problem := problem_of(settings.base):
        yield problem
    if settings.folder.exists() and not settings.folder.is_dir():
        yield f"--folder {settings.folder} is a file; name a folder."
    for flag, path in (("--exclude", settings.exclude), ("--dev", settings.dev)):
        if path is not None and not path.exists():
            yield f"{flag} {path} does not exist."
    try:
        Batching.of(settings).accumulated()
    except BadSettings as error:
        yield str(error)
    if problem := _of_kind(settings):
        yield problem
    elif read is not None:
        try:
            read(settings.data)
        except CommandError as error:
            yield str(error)


def _of_kind(settings: Training) -> str | None:
    """What is wrong with the training file, judging by its first line."""
    path = settings.data
    try:
        with path.open("rb") as file:
            first = file.readline()
    except OSError as error:
        return f"{path} cannot be read: {error.strerror or error}."
    try:
        header = json.loads(first)
    except ValueError:
        return None  # reading the file gives a better error
    found = header.get("format") if isinstance(header, dict) else None
    wanted = settings.format if isinstance(settings, Sft) else "lce"
    if found in _EXPORTS and _EXPORTS[found] != wanted:
        return (
            f"{path} holds {_HELD[_EXPORTS[found]]}, and this training takes {_HELD[wanted]}: "
            f"`limrank synth export --format {wanted}` writes them."
        )
    return None
