"""The chart under test and the real tools that read it: Helm, and Kubernetes' own schemas."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.requirements_check import require
from tests.waiting import PATIENCE

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "limrank"
HERE = Path(__file__).parent
ENVIRONMENT = ROOT / ".venv-helm" / ("Scripts" if sys.platform == "win32" else "bin")
RELEASE, NAMESPACE = "rel", "search"
VALUES = {path.stem: path for path in sorted([*(HERE / "values").glob("*.yaml"), *(CHART / "examples").glob("*.yaml")])}

Object = dict[str, Any]


class StrictLoader(yaml.SafeLoader):
    """YAML as Helm 4 and server-side apply want it: no key twice in a mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        assert not twice, f"{sorted(twice)} stand twice in the mapping at{node.start_mark}"
        return super().construct_mapping(node, deep)


def require_helm() -> None:
    """Skip, or fail where it is demanded, unless Helm and the schemas are installed."""
    require("helm", present=(ENVIRONMENT / "helm").exists(), remedy="run `make helm` to build .venv-helm")


def require_prometheus(tool: str) -> None:
    """The same for `promtool` or `prometheus`."""
    require(tool, present=shutil.which(tool) is not None, remedy="install the system package prometheus")


def helm(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run Helm with no configuration and no cluster of this machine in its reach."""
    with tempfile.TemporaryDirectory() as home:
        environment = {"PATH": os.environ["PATH"], "HOME": home, "KUBECONFIG": f"{home}/none"}
        command = [str(ENVIRONMENT / "helm"), *map(str, arguments)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False)


def template(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """`helm template` of the chart, with further arguments."""
    return helm("template", RELEASE, CHART, "--namespace", NAMESPACE, *arguments)


@functools.cache
def rendered(name: str) -> tuple[Object, ...]:
    """Every object the chart makes of the value set `name`, those of `helm test` among them."""
    return render("--values", VALUES[name])


def render(*arguments: str | Path) -> tuple[Object, ...]:
    """Every object that `helm template` makes with these arguments; fails where it refuses."""
    done = template(*arguments)
    assert done.returncode == 0, done.stderr
    return tuple(document for document in yaml.load_all(done.stdout, StrictLoader) if document)


def find(objects: tuple[Object, ...], kind: str, name: str | None = None) -> Object:
    """The one object of this kind (and name)."""
    found = [each for each in objects if each["kind"] == kind and name in (None, each["metadata"]["name"])]
    assert len(found) == 1, [(each["kind"], each["metadata"]["name"]) for each in objects]
    return found[0]


def kinds(objects: tuple[Object, ...]) -> set[str]:
    return {each["kind"] for each in objects}


def pods(objects: tuple[Object, ...]) -> Iterator[tuple[str, Object]]:
    """Name and spec of every pod: the Deployment's, and the one of `helm test`."""
    for each in objects:
        if each["kind"] == "Deployment":
            yield each["metadata"]["name"], each["spec"]["template"]["spec"]
        elif each["kind"] == "Pod":
            yield each["metadata"]["name"], each["spec"]


def server_pod(objects: tuple[Object, ...]) -> Object:
    """The Deployment's pod template."""
    found: Object = find(objects, "Deployment")["spec"]["template"]
    return found


def server(objects: tuple[Object, ...]) -> Object:
    """The container that serves."""
    [container] = server_pod(objects)["spec"]["containers"]
    found: Object = container
    return found


def environment(objects: tuple[Object, ...]) -> dict[str, str]:
    """The server's environment as the kubelet would build it: envFrom first, then env, which wins."""
    container = server(objects)
    variables: dict[str, str] = {}
    for source in container["envFrom"]:
        if "configMapRef" in source:
            variables |= find(objects, "ConfigMap", source["configMapRef"]["name"])["data"]
    for entry in container.get("env", []):
        variables[entry["name"]] = entry["value"] if "value" in entry else _from_field(entry["valueFrom"], container)
    return variables


def _from_field(source: Mapping[str, Any], container: Object) -> str:
    """A resource rounded up to whole units, as the kubelet does with divisor 1; other fields by their path."""
    if "resourceFieldRef" not in source:
        return json.dumps(source)
    kind, resource = source["resourceFieldRef"]["resource"].split(".")
    amount = str(container["resources"][kind][resource])
    return str(-(-int(amount[:-1]) // 1000) if amount.endswith("m") else int(amount))
