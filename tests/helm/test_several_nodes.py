"""The example for one model over several nodes: its pods meet Kubernetes' schema, and fit what the chart makes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helm.chart import CHART, Object, find, helm, rendered, require_helm, server
from tests.helm.test_objects import complaints


@pytest.fixture(autouse=True)
def _tools() -> None:
    require_helm()


def templates() -> dict[str, Any]:
    template = find(rendered("several-nodes"), "LeaderWorkerSet")["spec"]["leaderWorkerTemplate"]
    return {name: template[f"{name}Template"] for name in ("leader", "worker")}


def test_both_kinds_of_pod_are_pods() -> None:
    def pod(name: str, template: Object) -> Object:
        metadata = {"name": name, **template.get("metadata", {})}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}

    assert complaints([pod(name, template) for name, template in templates().items()]) == []


def test_the_service_finds_the_leader_alone() -> None:
    """Under the name that the example says to install it by."""
    values = CHART / "examples" / "several-nodes.yaml"
    done = helm("template", "large", CHART, "--values", values, "--show-only", "templates/service.yaml")
    assert done.returncode == 0, done.stderr
    selector = dict(
        line.strip().split(": ")
        for line in done.stdout.split("selector:")[1].split("ports:")[0].splitlines()
        if ":" in line
    )
    assert selector.items() <= templates()["leader"]["metadata"]["labels"].items()
    assert "metadata" not in templates()["worker"]


def test_the_pods_have_the_settings_and_mounts_of_the_charts_own() -> None:
    objects = rendered("several-nodes")
    own, settings = server(objects), find(objects, "ConfigMap", "large")["data"]
    assert settings["LIMRANK_VLLM_ARGS"] == '{"distributed_executor_backend":"ray","pipeline_parallel_size":2}'
    for template in templates().values():
        (container,) = template["spec"]["containers"]
        assert container["image"] == own["image"]
        assert container["envFrom"] == [{"configMapRef": {"name": "large"}}]
        mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounts >= {mount["mountPath"] for mount in own["volumeMounts"]} - {"/etc/limrank/keys"}
        assert container["resources"]["limits"]["nvidia.com/gpu"] == int(settings["LIMRANK_TENSOR_PARALLEL_SIZE"])
    assert find(objects, "Deployment")["spec"]["replicas"] == 0
