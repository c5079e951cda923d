"""Starts the entry point of a built image in its own root file system and asks it for a ranking, as `make image` does.

    unshare --mount --net python3 image/try_image.py ROOT IMAGE.json

ROOT is the image's mounted root, IMAGE.json what `buildah inspect --type image` says of it. The root is mounted
read-only, the user is the image's, the network is a loopback of its own with no way out. Needs root; Linux only.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

URL = "http://127.0.0.1:8080"
_READY_WITHIN = 300.0  # seconds
_BODY = {
    "query": "How is the flu treated?",
    "documents": ["Influenza spreads by droplets.", "Rest and antiviral drugs help against influenza.", "A railway."],
}
_MUST_NOT_BE_THERE = ("pip", "pip3", "gcc", "cc", "clang", "make", "hatchling", "cyclonedx-py")


@dataclass(frozen=True, slots=True)
class Image:
    """The root file system and what the image says about running it."""

    root: Path
    config: dict[str, Any]

    def command(self, *words: str, **environment: str) -> list[str]:
        """`words` as the image's user in its root, with its environment and nothing else."""
        variables = [*self.config["Env"], *(f"{name}={value}" for name, value in environment.items())]
        user = f"--userspec={self.config['User']}"
        return ["chroot", user, "--groups=", str(self.root), "/usr/bin/env", "-i", "-C", "/tmp", *variables, *words]  # noqa: S108

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run to the end."""
        command = self.command(*words, **environment)
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)  # noqa: S603


def isolate(root: Path) -> None:
    """In a mount and network namespace of our own: the root read-only, a fresh /tmp, a loopback that is up."""
    steps = (
        ["mount", "--make-rprivate", "/"],
        ["mount", "--bind", root, root],
        ["mount", "-o", "remount,bind,ro", root],
        ["mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", root / "tmp"],
        ["mount", "--rbind", "/dev", root / "dev"],
        ["mount", "-t", "proc", "proc", root / "proc"],
        ["ip", "link", "set", "lo", "up"],
    )
    for step in steps:
        subprocess.run(list(map(str, step)), check=True)  # noqa: S603


def check_what_is_inside(image: Image) -> None:
    """No tools of the build, no root, no writing; a list of packages."""
    refused = image.run("limrank-serve")
    assert refused.returncode == 2, refused
    assert "--keys-file" in refused.stderr, refused
    assert image.run("sh", "-c", "id -u").stdout.strip() == image.config["User"].partition(":")[0]
    assert image.run("touch", "/opt/limrank/file").returncode != 0
    each = "; ".join(f"command -v {name}" for name in _MUST_NOT_BE_THERE)  # dash looks for the first of several alone
    found = image.run("sh", "-c", f"{each}; true").stdout
    assert not found, f"left over from the build: {found}"
    packages = json.loads((image.root / "opt/limrank/sbom.cdx.json").read_text(encoding="utf-8"))["components"]
    assert {"transformers", "fastapi", "limrank", "libc6"} <= {each["name"] for each in packages}
    say(f"inside: {len(packages)} packages listed, no compiler, no pip, user {image.config['User']}, root read-only")


def serve_and_ask(image: Image, **environment: str) -> None:
    """Start, wait until ready, ask the health check and for a ranking, stop."""
    started = time.monotonic()
    command = image.command(*image.config["Entrypoint"], LIMRANK_ALLOW_ANONYMOUS="true", **environment)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603
    try:
        _wait_until_ready(process)
        say(f"ready after {time.monotonic() - started:.1f} s")
        answer = post("/rerank", _BODY)
        assert [result["index"] for result in answer["results"]].count(1) == 1, answer
        assert len(answer["results"]) == len(_BODY["documents"]), answer
        say(f"a call of 3 documents: {answer['model']} {answer['results']}")
        health = image.run(*image.config["Healthcheck"]["Test"][1:])
        assert health.returncode == 0, health
        say(f"memory: {_peak_memory(process.pid) / 2**20:.0f} MiB at most")
    finally:
        process.send_signal(signal.Signals[image.config["StopSignal"]])
    code = process.wait(60)
    assert code == 0, f"exit code {code}"
    assert image.run(*image.config["Healthcheck"]["Test"][1:]).returncode != 0
    say("stopped with exit code 0")


def _wait_until_ready(process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _READY_WITHIN
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the entry point exited {process.returncode}"
        try:
            with urllib.request.urlopen(f"{URL}/health/ready", timeout=5):  # noqa: S310
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise AssertionError(f"not ready within {_READY_WITHIN:.0f} s")


def post(path: str, body: dict[str, Any]) -> Any:
    """The answer to a call."""
    request = urllib.request.Request(URL + path, json.dumps(body).encode(), {"Content-Type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
        return json.load(answer)


def _peak_memory(pid: int) -> int:
    """Bytes; chroot and env have become the server, so the process is the server's."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(root: str, inspected: str) -> None:
    """All checks; an AssertionError where one does not hold."""
    os.environ.pop("http_proxy", None)
    image = Image(Path(root), json.loads(Path(inspected).read_text(encoding="utf-8"))["Docker"]["config"])
    isolate(image.root)
    check_what_is_inside(image)
    serve_and_ask(image)
    for name in (image.root / "opt/limrank/models.txt").read_text(encoding="utf-8").split()[1:]:
        serve_and_ask(image, LIMRANK_MODEL=name)


if __name__ == "__main__":
    main(*sys.argv[1:])
