"""Every object the chart makes meets the schema of its kind, in the oldest and the newest Kubernetes known here."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from typing import Any

import pytest
import yaml

from tests.helm.chart import CHART, ENVIRONMENT, HERE, VALUES, Object, find, helm, kinds, pods, rendered, require_helm
from tests.waiting import PATIENCE

VERSIONS = ["1.30", "1.37"]
CUSTOM = {path.stem: json.loads(path.read_text()) for path in (HERE / "schemas").glob("*.json")}
ALL_KINDS = {
    *("ConfigMap", "Deployment", "HorizontalPodAutoscaler", "Ingress", "NetworkPolicy", "PersistentVolumeClaim"),
    *("Pod", "PodDisruptionBudget", "Service", "ServiceAccount"),
    *("HTTPRoute", "LeaderWorkerSet", "PrometheusRule", "ScaledObject", "ServiceMonitor"),
}


@pytest.fixture(autouse=True)
def _tools() -> None:
    require_helm()


def complaints(objects: list[Object]) -> list[Any]:
    case = {"versions": VERSIONS, "custom": CUSTOM, "objects": objects}
    command = [str(ENVIRONMENT / "python"), "-P", str(HERE / "object_schemas.py")]
    done = subprocess.run(
        command, input=json.dumps(case, default=str), capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found: list[Any] = json.loads(done.stdout)
    return found


def test_every_object_meets_its_schema() -> None:
    distinct = {json.dumps(each, default=str): each for name in VALUES for each in rendered(name)}
    assert complaints(list(distinct.values())) == []


def test_the_value_sets_bring_out_every_kind() -> None:
    assert len(VALUES) >= 16
    assert {kind for name in VALUES for kind in kinds(rendered(name))} == ALL_KINDS
    assert set(CUSTOM) == {"HTTPRoute", "LeaderWorkerSet", "PrometheusRule", "ScaledObject", "ServiceMonitor"}


@pytest.mark.parametrize(
    ("name", "kind", "spoil"),
    [
        ("default", "Deployment", lambda spec: spec.update(replica=1)),
        ("default", "Deployment", lambda spec: spec.pop("selector")),
        ("default", "Service", lambda spec: spec["ports"][0].update(port="http")),
        ("monitoring", "ServiceMonitor", lambda spec: spec["endpoints"][0].update(inteval="5s")),
        ("monitoring", "ServiceMonitor", lambda spec: spec["endpoints"][0].update(interval=5)),
        ("monitoring", "PrometheusRule", lambda spec: spec["groups"][0]["rules"][0].pop("expr")),
        ("keda", "ScaledObject", lambda spec: spec["triggers"][0]["metadata"].update(threshold=5)),
        ("keda", "ScaledObject", lambda spec: spec.pop("scaleTargetRef")),
        ("several-nodes", "LeaderWorkerSet", lambda spec: spec["leaderWorkerTemplate"].update(size="2")),
        ("several-nodes", "LeaderWorkerSet", lambda spec: spec["leaderWorkerTemplate"].pop("workerTemplate")),
        ("http-route", "HTTPRoute", lambda spec: spec["rules"][0]["timeouts"].update(request="55 seconds")),
    ],
)
def test_the_schemas_see_a_spoilt_object(name: str, kind: str, spoil: Any) -> None:
    objects = [each for each in rendered(name) if each["kind"] == kind]
    spoilt: list[Object] = json.loads(json.dumps(objects, default=str))
    spoil(spoilt[0]["spec"])
    assert complaints(spoilt)


def test_a_second_validator_takes_the_values_schema() -> None:
    """Helm 4 reads schemas with another library, and a stricter one: ours must meet its own meta-schema."""
    program = (
        "import json, sys; from jsonschema import Draft7Validator; case = json.load(sys.stdin); "
        "Draft7Validator.check_schema(case[0]); Draft7Validator(case[0]).validate(case[1])"
    )
    schema = json.loads((CHART / "values.schema.json").read_text())
    case = json.dumps([schema, yaml.safe_load((CHART / "values.yaml").read_text())])
    command = [str(ENVIRONMENT / "python"), "-c", program]
    done = subprocess.run(command, input=case, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("name", VALUES)
def test_lint_finds_nothing(name: str) -> None:
    done = helm("lint", "--strict", "--quiet", CHART, "--values", VALUES[name])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", VALUES)
def test_nothing_stands_twice_where_server_side_apply_wants_it_once(name: str) -> None:
    """Helm 4 applies on the server, which refuses lists with two entries of one key."""
    objects = rendered(name)
    assert not _twice([(each["apiVersion"], each["kind"], each["metadata"]["name"]) for each in objects])
    for _, pod in pods(objects):
        assert not _twice([volume["name"] for volume in pod["volumes"]] if "volumes" in pod else [])
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            assert not _twice([entry["name"] for entry in container.get("env", [])])
            assert not _twice([mount["mountPath"] for mount in container.get("volumeMounts", [])])
            assert not _twice([(port["containerPort"], port["protocol"]) for port in container.get("ports", [])])


def test_names_fit_into_63_characters() -> None:
    objects = rendered("everything")
    assert all(len(each["metadata"]["name"]) <= 63 for each in objects)
    assert len(find(objects, "Deployment")["metadata"]["name"]) <= 52


def test_one_template_per_object() -> None:
    for path in [*(CHART / "templates").glob("*.yaml"), *(CHART / "templates" / "tests").glob("*.yaml")]:
        assert path.read_text().count("\nkind: ") + path.read_text().startswith("kind: ") <= 1, path


def test_the_chart_is_of_the_project_s_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = _project_version()
    assert (chart["version"], chart["appVersion"]) == (version, version)


def _project_version() -> str:
    import tomllib

    project = tomllib.loads((CHART.parents[1] / "pyproject.toml").read_text())
    return str(project["project"]["version"])


def _twice(names: list[Any]) -> list[Any]:
    return [name for name, count in Counter(names).items() if count > 1]
