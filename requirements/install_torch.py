"""Installs torch into a virtual environment, in the build that fits this machine: no CUDA without a GPU.

    python requirements/install_torch.py .venv [--dry-run]

If pip is configured with a package source, pip decides. Otherwise, on Linux, uv does: `--torch-backend=auto` knows
PyTorch's indexes and looks at the GPU's driver. Where there is neither a GPU nor uv, uv is first installed into the
environment. If uv fails, for instance because its index cannot be reached, pip's default build is installed instead.
UV_TORCH_BACKEND overrides `auto`. Uses only the standard library, since it runs before anything is installed.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TORCH = "torch==2.13.0"
UV_LOCK = Path(__file__).parent / "uv.lock"
_DRIVER = Path("/proc/driver/nvidia/version")
# Settings of pip that say where packages come from, as `pip config list` names them.
_SOURCES = ("index-url", "extra-index-url", "find-links", "no-index")
# Of the wheels for Python 3.11 on x86-64: torch-2.13.0+cpu, and the index's torch-2.13.0 without NVIDIA's libraries.
_CPU_MB, _CUDA_MB = 192, 527
_PARTS = ("torch", "triton", "nvidia-", "cuda-")

Command = list[str]


@dataclass(frozen=True)
class Machine:
    """What the choice depends on. `pip_sources`: pip's settings of where packages come from; `uv`: its executable."""

    linux: bool
    gpu: bool
    pip_sources: tuple[str, ...]
    uv: str | None


@dataclass(frozen=True)
class Attempt:
    """Commands that together install torch, and the sentence that is said before."""

    sentence: str
    commands: tuple[Command, ...]


def attempts(machine: Machine, venv: Path, environment: Mapping[str, str]) -> list[Attempt]:
    """Returns what to try, best first; what follows is tried where an attempt fails."""
    pip: Command = [str(venv / "bin" / "pip"), "--disable-pip-version-check", "--quiet", "install"]
    plain = ([*pip, TORCH],)
    if machine.pip_sources:
        names = ", ".join(machine.pip_sources)
        return [Attempt(f"torch: from where pip's own settings point ({names}); they decide which build.", plain)]
    if not machine.linux:
        return [Attempt("torch: the build that the package index has for this system.", plain)]
    default = Attempt(
        f"torch: the package index's build, which on Linux is for CUDA: {_CUDA_MB} MB, and NVIDIA's "
        "libraries beside it, gigabytes in all.",
        plain,
    )
    if machine.uv is None and machine.gpu:
        return [default]
    backend = [] if environment.get("UV_TORCH_BACKEND") else ["--torch-backend=auto"]
    uv = machine.uv or str(venv / "bin" / "uv")
    choose: Command = [uv, "pip", "install", "--python", str(venv / "bin" / "python"), *backend, TORCH]
    locked = ["--no-deps", "--require-hashes", "-r", str(UV_LOCK)]
    bring = () if machine.uv else ([*pip, *locked],)
    return [Attempt(_chosen(machine, environment), (*bring, choose)), default]


def _chosen(machine: Machine, environment: Mapping[str, str]) -> str:
    if backend := environment.get("UV_TORCH_BACKEND"):
        return f"torch: the build that UV_TORCH_BACKEND={backend} names, by uv."
    if machine.gpu:
        return "torch: an NVIDIA GPU is here, so uv chooses the CUDA build for its driver: gigabytes."
    how = "uv" if machine.uv else "uv, which is installed into the environment for it (18 MB)"
    return f"torch: no NVIDIA GPU is here, so the build for CPUs, by {how}: {_CPU_MB} MB in place of gigabytes."


def this_machine(venv: Path, environment: Mapping[str, str]) -> Machine:
    """Looks at the system, the GPU's driver, pip's settings and the PATH."""
    pip = [str(venv / "bin" / "pip"), "config", "list"]
    listed = subprocess.run(pip, env=dict(environment), capture_output=True, text=True, check=False).stdout
    search = os.pathsep.join([str(venv / "bin"), environment.get("PATH", "")])
    return Machine(
        linux=sys.platform == "linux",
        gpu=has_gpu(environment),
        pip_sources=pip_sources(listed),
        uv=shutil.which("uv", path=search),
    )


def pip_sources(listed: str) -> tuple[str, ...]:
    """Returns those settings in the output of `pip config list` that say where packages come from."""
    names = {line.partition("=")[0].rpartition(".")[2] for line in listed.splitlines() if not line.endswith("=''")}
    return tuple(name for name in _SOURCES if name in names)


def has_gpu(environment: Mapping[str, str], driver: Path = _DRIVER) -> bool:
    """True where NVIDIA's driver is loaded, or its tool lists a GPU."""
    if driver.exists():
        return True
    tool = shutil.which("nvidia-smi", path=environment.get("PATH", ""))
    if tool is None:
        return False
    try:
        listed = subprocess.run([tool, "-L"], capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return listed.returncode == 0 and "GPU" in listed.stdout


def install(plan: Sequence[Attempt], environment: Mapping[str, str]) -> int:
    """Makes the attempts until one succeeds. Returns the last exit code."""
    code = 1
    for number, attempt in enumerate(plan):
        if number:
            _say("torch: that failed (above is why); going on with what pip's index has.")
        _say(attempt.sentence)
        code = _run(attempt.commands, environment)
        if code == 0:
            return 0
    return code


def _run(commands: Sequence[Command], environment: Mapping[str, str]) -> int:
    for command in commands:
        try:
            code = subprocess.run(command, env=dict(environment), check=False).returncode
        except OSError as error:
            _say(f"{command[0]} cannot be run: {error.strerror}.")
            code = 127
        if code:
            return code
    return 0


def installed(venv: Path) -> tuple[str, int] | None:
    """Returns the version of torch in the environment, and the bytes on disk of it and what it brings."""
    folders = [str(folder) for folder in (venv / "lib").glob("python3*/site-packages")]
    found = list(importlib.metadata.distributions(path=folders))
    version = next((each.version for each in found if each.metadata["Name"] == "torch"), None)
    if version is None:
        return None
    parts = [each for each in found if (each.metadata["Name"] or "").lower().replace("_", "-").startswith(_PARTS)]
    return version, sum(_bytes(each) for each in parts)


def _bytes(distribution: importlib.metadata.Distribution) -> int:
    return sum(file.size or 0 for file in distribution.files or ())


def _lines(plan: Sequence[Attempt]) -> Iterator[str]:
    for attempt in plan:
        yield attempt.sentence
        yield from (f"    {' '.join(command)}" for command in attempt.commands)


def _say(sentence: str) -> None:
    print(sentence, flush=True)


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """`arguments`: the environment's folder, and `--dry-run`, which only prints what would be tried."""
    venv = Path(arguments[0])
    plan = attempts(this_machine(venv, environment), venv, environment)
    if "--dry-run" in arguments:
        _say("\n".join(_lines(plan)))
        return 0
    code = install(plan, environment)
    if code == 0 and (there := installed(venv)) is not None:
        version, size = there
        _say(f"torch: {version} is installed and takes {size / 1e6:,.0f} MB on disk.")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
