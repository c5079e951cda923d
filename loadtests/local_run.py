"""`make load`: a service of its own on a free loopback port, the mixed scenario with an HTML report, then the table.

    python -m loadtests.local_run --serve .venv/bin/limrank-serve --out out/load [flags of limrank-serve after --]

Exit 1 where a threshold of the mixed run was missed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from loadtests import capacity

_STARTED_WITHIN = 600.0  # seconds; a first start converts the embedded model


@contextlib.contextmanager
def service(command: Sequence[str], log: Path) -> Iterator[str]:
    """The URL of a service that runs as long as the context. Raise RuntimeError where it does not start."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with log.open("wb") as out:
        process = subprocess.Popen([*command, "--port", str(port)], stdout=out, stderr=out)  # noqa: S603
    try:
        _wait(f"http://127.0.0.1:{port}", process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _STARTED_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(f"{url}/health/ready"):  # noqa: S310
            return
        time.sleep(0.2)
    raise RuntimeError(f"the service did not start; its log {log} ends:\n{log.read_text(errors='replace')[-2000:]}")


def mixed(url: str, out: Path, seconds: int, callers: int, batch: int) -> int:
    """Run everybody at once; Locust's exit code."""
    flags = {
        "--host": url,
        "--scenario": "mixed",
        "--users": callers,
        "--spawn-rate": callers,
        "--run-time": f"{seconds}s",
        "--batch-passages": batch,
        "--html": out / "report.html",
        "--summary": out / "mixed.json",
    }
    pairs = [str(part) for pair in flags.items() for part in pair]
    command = [sys.executable, "-m", "locust", "-f", str(capacity.LOCUSTFILE), "--headless", "--only-summary", *pairs]
    return subprocess.run(command, check=False).returncode  # noqa: S603


def main(argv: Sequence[str]) -> int:
    """Everything that `make load` does, within about six minutes on two cores."""
    parser = argparse.ArgumentParser(prog="loadtests.local_run", description=__doc__)
    parser.add_argument("--serve", required=True, help="the limrank-serve to start")
    parser.add_argument("--out", type=Path, default=Path("out/load"))
    parser.add_argument("--seconds", type=int, default=60, help="of the mixed run")
    parser.add_argument("--users", type=int, default=8, help="callers of the mixed run")
    parser.add_argument("--batch-passages", type=int, default=100, help="a CPU takes minutes for 1000")
    parser.add_argument("--callers", default="1,4", help="of the table")
    parser.add_argument("--passages", default="10,50", help="of the table")
    parser.add_argument("--cell-seconds", type=int, default=30, help="of each cell of the table")
    parser.add_argument("--cell-calls", type=int, default=600, help="of each cell of the table, at most")
    options, further = parser.parse_known_args(argv)
    options.out.mkdir(parents=True, exist_ok=True)
    command = [options.serve, *[flag for flag in further if flag != "--"]]
    # What the service is told, it is told by flags: settings of a developer's shell are not measured by accident.
    for name in [name for name in os.environ if name.startswith("LIMRANK_")]:
        del os.environ[name]
    with service(command, options.out / "service.log") as url:
        code = mixed(url, options.out, options.seconds, options.users, options.batch_passages)
        sweep = ["--host", url, "--callers", options.callers, "--passages", options.passages]
        bounds = ["--seconds", str(options.cell_seconds), "--calls", str(options.cell_calls)]
        return capacity.main([*sweep, *bounds, "--out", str(options.out / "capacity.md")]) or code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
