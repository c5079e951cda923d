"""What the pods may do, where they run, and who reaches them."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from tests.helm.chart import (
    CHART,
    NAMESPACE,
    RELEASE,
    VALUES,
    Object,
    environment,
    find,
    kinds,
    pods,
    render,
    rendered,
    require_helm,
    server,
    server_pod,
)

SERVER = {
    "app.kubernetes.io/name": "limrank",
    "app.kubernetes.io/instance": RELEASE,
    "app.kubernetes.io/component": "server",
}


@pytest.fixture(autouse=True)
def _tools() -> None:
    require_helm()


@pytest.mark.parametrize("name", VALUES)
def test_pods_meet_the_restricted_standard(name: str) -> None:
    """Kubernetes' Pod Security Standards, level restricted, point by point; and a read-only root."""
    for _, pod in pods(rendered(name)):
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"].get("runAsUser") != 0
        assert pod["securityContext"]["seccompProfile"]["type"] in ("RuntimeDefault", "Localhost")
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        allowed = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected"}
        for volume in pod.get("volumes", []):
            assert set(volume) - {"name"} <= allowed | {"secret"}
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert not context.get("privileged")
            assert "hostPort" not in str(container.get("ports", []))
            if container["name"] != "hello":  # a guest of the value set
                assert context["readOnlyRootFilesystem"] is True
                assert container["resources"]["requests"]
                assert container["resources"]["limits"]["memory"]


def test_user_and_group_can_be_left_to_the_platform() -> None:
    context = server_pod(rendered("openshift"))["spec"]["securityContext"]
    assert set(context) == {"runAsNonRoot", "seccompProfile"}
    assert server_pod(rendered("default"))["spec"]["securityContext"]["runAsUser"] == 10001


@pytest.mark.parametrize("name", VALUES)
def test_selectors_find_the_servers_and_not_the_test_pod(name: str) -> None:
    objects = rendered(name)
    labels = server_pod(objects)["metadata"]["labels"]
    for selector in _selectors(objects):
        assert selector == SERVER
        assert selector.items() <= labels.items()
        assert not selector.items() <= find(objects, "Pod")["metadata"]["labels"].items()


def _selectors(objects: tuple[Object, ...]) -> list[dict[str, str]]:
    found = []
    for each in objects:
        match each["kind"]:
            case "Service":
                found.append(each["spec"]["selector"])
            case "Deployment" | "PodDisruptionBudget":
                found.append(each["spec"]["selector"]["matchLabels"])
            case "NetworkPolicy":
                found.append(each["spec"]["podSelector"]["matchLabels"])
    return found


def test_the_monitor_selects_services_of_the_release() -> None:
    objects = rendered("monitoring")
    selector = find(objects, "ServiceMonitor")["spec"]["selector"]["matchLabels"]
    services = [each for each in objects if each["kind"] == "Service"]
    assert all(selector.items() <= service["metadata"]["labels"].items() for service in services)
    ported = [service for service in services if "metrics" in [port["name"] for port in service["spec"]["ports"]]]
    assert [service["spec"]["clusterIP"] for service in ported] == ["None"]


@pytest.mark.parametrize("name", VALUES)
def test_mounts_have_volumes_and_ports_have_names(name: str) -> None:
    for _, pod in pods(rendered(name)):
        volumes = {volume["name"] for volume in pod.get("volumes", [])}
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            assert {mount["name"] for mount in container.get("volumeMounts", [])} <= volumes
    ports = {port["name"] for port in server(rendered(name))["ports"]}
    for service in (each for each in rendered(name) if each["kind"] == "Service"):
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports


def test_starting_has_the_time_a_7b_model_needs() -> None:
    """15.2 GB of weights in bfloat16 at 50 MB/s are 5 minutes; compiling and warming up may take 15 more."""
    needed = 15.2e9 / 50e6 + 15 * 60
    for name in VALUES:
        probe = server(rendered(name))["startupProbe"]
        budget = probe["periodSeconds"] * probe["failureThreshold"]
        assert budget >= needed, name
        assert find(rendered(name), "Deployment")["spec"]["progressDeadlineSeconds"] > budget
    assert find(rendered("gpu"), "Deployment")["spec"]["progressDeadlineSeconds"] == 1800 + 1800 + 600


def test_a_gpu_pod_asks_for_its_gpus_and_goes_where_they_are() -> None:
    for name, gpus in (("gpu", 1), ("tensor-parallel", 4), ("air-gapped", 1)):
        pod, container = server_pod(rendered(name))["spec"], server(rendered(name))
        assert container["resources"]["limits"]["nvidia.com/gpu"] == gpus
        assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in pod["tolerations"]
        assert pod["nodeSelector"]
        [shm] = [volume for volume in pod["volumes"] if volume["name"] == "shm"]
        assert shm["emptyDir"]["medium"] == "Memory"
        assert int(shm["emptyDir"]["sizeLimit"].removesuffix("Gi")) >= 8
        assert {"name": "shm", "mountPath": "/dev/shm"} in container["volumeMounts"]
        strategy = find(rendered(name), "Deployment")["spec"]["strategy"]
        assert strategy["type"] == "Recreate" or strategy["rollingUpdate"]["maxSurge"] == 0  # no spare GPU is needed


def test_pods_spread_over_nodes_and_zones() -> None:
    spread = server_pod(rendered("default"))["spec"]["topologySpreadConstraints"]
    assert [each["topologyKey"] for each in spread] == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
    assert all(each["labelSelector"]["matchLabels"] == SERVER for each in spread)
    [own] = server_pod(rendered("everything"))["spec"]["topologySpreadConstraints"]
    assert own["labelSelector"] == {"matchLabels": {"a": "b"}}
    assert "matchLabelKeys" not in own


def test_autoscalers_count_queued_documents() -> None:
    hpa = find(rendered("hpa"), "HorizontalPodAutoscaler")["spec"]
    assert hpa["metrics"][0]["pods"] == {
        "metric": {"name": "limrank_queued_documents"},
        "target": {"type": "AverageValue", "averageValue": "1500000"},
    }
    assert hpa["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 600
    scaled = find(rendered("keda"), "ScaledObject")["spec"]
    trigger = scaled["triggers"][0]
    query = f'sum(limrank_queued_documents{{namespace="{NAMESPACE}",job="{RELEASE}-limrank"}})'
    assert (trigger["metricType"], trigger["metadata"]["query"]) == ("AverageValue", query)
    assert trigger["metadata"]["ignoreNullValues"] == "false"
    assert trigger["authenticationRef"] == {"name": "prometheus-login"}
    assert scaled["advanced"] == {
        "restoreToOriginalReplicaCount": True,
        "horizontalPodAutoscalerConfig": {"behavior": hpa["behavior"]},
    }
    for name in ("hpa", "keda"):
        assert "replicas" not in find(rendered(name), "Deployment")["spec"]
    for target in (hpa["scaleTargetRef"], scaled["scaleTargetRef"]):
        assert target["name"] == find(rendered("hpa"), "Deployment")["metadata"]["name"]


def test_the_monitor_gives_series_the_job_that_keda_asks_for() -> None:
    relabelings = find(rendered("monitoring"), "ServiceMonitor")["spec"]["endpoints"][0]["relabelings"]
    assert relabelings[0] == {"action": "replace", "targetLabel": "job", "replacement": f"{RELEASE}-limrank"}
    assert len(relabelings) == 2


def test_nothing_is_let_out_that_is_not_needed() -> None:
    def egress(objects: tuple[Object, ...]) -> Any:
        return find(objects, "NetworkPolicy")["spec"]["egress"]

    def ports(objects: tuple[Object, ...]) -> list[Any]:
        return [port["port"] for rule in egress(objects) for port in rule["ports"]]

    assert egress(rendered("default")) == egress(rendered("air-gapped")) == []
    dns = [53, 53, 5353, 5353]
    assert ports(rendered("gpu")) == [*dns, 443]
    assert ports(rendered("existing-secrets")) == [*dns, 8443]
    assert ports(rendered("monitoring")) == [*dns, 4318]
    assert egress(rendered("anonymous")) == [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": 443}]}]


def test_callers_and_prometheus_can_be_narrowed_but_helm_test_stays() -> None:
    calls, metrics = find(rendered("air-gapped"), "NetworkPolicy")["spec"]["ingress"]
    assert [port["port"] for port in calls["ports"]] == ["http"]
    assert [port["port"] for port in metrics["ports"]] == ["metrics"]
    tester = find(rendered("air-gapped"), "Pod")["metadata"]["labels"]
    for rule in (calls, metrics):
        assert rule["from"][-1]["podSelector"]["matchLabels"].items() <= tester.items()
    assert all("from" not in rule for rule in find(rendered("default"), "NetworkPolicy")["spec"]["ingress"])


def test_prometheus_may_come_to_the_callers_port_where_the_metrics_are_there() -> None:
    callers, prometheus = ({"podSelector": {"matchLabels": {"role": role}}} for role in ("caller", "prometheus"))
    policy = json.dumps({"ingressFrom": [callers], "metricsFrom": [prometheus]})
    objects = render("--set-json", f"networkPolicy={policy}", "--set", "metrics.port=0")
    [rule] = find(objects, "NetworkPolicy")["spec"]["ingress"]
    assert rule["from"][:2] == [callers, prometheus]


def test_a_replica_counts_as_down_only_after_the_time_it_may_start_in() -> None:
    groups = find(rendered("monitoring"), "PrometheusRule")["spec"]["groups"]
    waits = {rule["alert"]: rule["for"] for group in groups for rule in group["rules"] if "alert" in rule}
    deadline = find(rendered("monitoring"), "Deployment")["spec"]["progressDeadlineSeconds"]
    assert waits["LimrankReplicaDown"] == f"{deadline}s"
    assert waits["LimrankGone"] == "5m"


def test_metrics_are_not_on_the_callers_port_nor_on_their_service() -> None:
    service = find(rendered("default"), "Service", f"{RELEASE}-limrank")
    assert [port["name"] for port in service["spec"]["ports"]] == ["http"]
    headless = find(rendered("default"), "Service", f"{RELEASE}-limrank-metrics")["spec"]
    assert (headless["clusterIP"], headless["publishNotReadyAddresses"]) == ("None", True)
    assert f"{RELEASE}-limrank-metrics" not in str(rendered("no-metrics"))


def test_routes_lead_to_the_service() -> None:
    backend = find(rendered("ingress"), "Ingress")["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
    assert backend == {"name": f"{RELEASE}-limrank", "port": {"name": "http"}}
    [rule] = find(rendered("http-route"), "HTTPRoute")["spec"]["rules"]
    assert rule["backendRefs"] == [{"name": f"{RELEASE}-limrank", "port": 80}]
    assert rule["timeouts"] == {"request": "55s"}  # a little more than the service's own 45


def test_the_claim_is_kept_and_mounted() -> None:
    claim = find(rendered("own-claim"), "PersistentVolumeClaim")
    assert claim["metadata"]["annotations"] == {"backup": "no", "helm.sh/resource-policy": "keep"}
    volumes = server_pod(rendered("own-claim"))["spec"]["volumes"]
    assert {"name": "models", "persistentVolumeClaim": {"claimName": claim["metadata"]["name"]}} in volumes
    air_gapped = rendered("air-gapped")
    assert "PersistentVolumeClaim" not in kinds(air_gapped)
    [mount] = [each for each in server(air_gapped)["volumeMounts"] if each["name"] == "models"]
    assert mount["readOnly"] is True
    assert environment(air_gapped)["HF_HOME"].startswith(mount["mountPath"])


def test_an_image_by_digest_has_no_tag() -> None:
    assert server(rendered("air-gapped"))["image"].startswith("registry.internal/limrank@sha256:")
    assert server(rendered("default"))["image"] == "limrank:0.1.0"
    for _, pod in pods(rendered("air-gapped")):
        assert pod["imagePullSecrets"] == [{"name": "internal-registry"}]


def test_what_can_be_switched_off_is_gone() -> None:
    assert kinds(rendered("no-metrics")) == {"ConfigMap", "Deployment", "Pod", "Service"}
    assert server_pod(rendered("no-metrics"))["spec"]["serviceAccountName"] == "default"


def test_the_test_pod_asks_what_the_release_offers() -> None:
    def variables(objects: tuple[Object, ...]) -> dict[str, Any]:
        pod = find(objects, "Pod")
        assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
        [container] = pod["spec"]["containers"]
        assert container["args"] == [(CHART / "files" / "helm_test.py").read_text()]
        return {entry["name"]: entry.get("value") or entry["valueFrom"] for entry in container["env"]}

    assert variables(rendered("default")) == {
        "SERVICE_URL": "http://rel-limrank:80",
        "METRICS_URL": "http://rel-limrank-metrics:9090/metrics",
        "KEYS_NEEDED": "true",
    }
    assert variables(rendered("ingress"))["SERVICE_URL"] == "http://rel-limrank:80/models/rerank"
    assert variables(rendered("no-metrics"))["METRICS_URL"] == "http://rel-limrank:8080/metrics"
    assert variables(rendered("anonymous"))["KEYS_NEEDED"] == "false"
    secret = {"secretKeyRef": {"name": "search-keys-plain", "key": "key"}}
    assert variables(rendered("existing-secrets"))["API_KEY"] == secret


def test_a_disruption_budget_lets_nodes_be_drained() -> None:
    assert find(rendered("default"), "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    everything = find(rendered("everything"), "PodDisruptionBudget")["spec"]
    assert (everything["minAvailable"], "maxUnavailable" in everything) == ("60%", False)
    assert math.ceil(0.6 * 3) < 3
    assert everything["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_labels_of_the_operator_reach_objects_and_pods() -> None:
    for each in rendered("everything"):
        if each["metadata"]["name"] != "certificates":
            assert each["metadata"]["labels"]["team"] == "search"
    assert server_pod(rendered("everything"))["metadata"]["labels"]["tier"] == "inference"
    assert "helm.sh/chart" not in server_pod(render())["metadata"]["labels"]  # a new chart alone rolls nothing
