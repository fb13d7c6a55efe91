"""What the objects must look like whatever the spec says."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import urlsplit

import pytest

from aurora_operator.api.base import names
from aurora_operator.api.spec.placement import Scheduling, Toleration
from aurora_operator.api.spec.resources import ComputeAmounts, Resources
from aurora_operator.planning.model.plan_model import CHILD_KINDS, OperatorConfig
from aurora_operator.planning.objects.access import build_access
from aurora_operator.planning.objects.common import Identity
from aurora_operator.planning.objects.compare import covers
from aurora_operator.planning.objects.instance import Instance, build_statefulset, template_of
from aurora_operator.planning.objects.network import build_network_policy, build_services
from aurora_operator.planning.objects.secrets import BASIC_AUTH, build_app_secret
from aurora_operator.planning.objects.volume import build_claim

IDENTITY = Identity("demo", "prod", "uid-1")


def pod(**given: Any) -> dict[str, Any]:
    spec: dict[str, Any] = build_statefulset(IDENTITY, Instance(2, "image", **given))["spec"]["template"]["spec"]
    return spec


def test_pod_meets_the_restricted_standard() -> None:
    spec = pod(zone="a")
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & spec.keys()
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    allowed = {"configMap", "emptyDir", "persistentVolumeClaim", "secret"}
    assert all(volume.keys() - {"name"} <= allowed for volume in spec["volumes"])
    assert not any("hostPort" in port for port in container["ports"])
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in spec["volumes"]}


def test_pod_is_pinned_to_its_zone_and_keeps_apart() -> None:
    spec = pod(zone="zone-b", scheduling=Scheduling(node_selector={"disk": "fast"}))
    assert spec["nodeSelector"] == {"disk": "fast", names.LABEL_ZONE: "zone-b"}
    (wish,) = spec["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert wish["podAffinityTerm"]["topologyKey"] == "kubernetes.io/hostname"
    assert "nodeSelector" not in pod()


def test_users_scheduling_is_added_to_and_not_replaced() -> None:
    mine = {"weight": 1, "podAffinityTerm": {"topologyKey": "rack"}}
    affinity = {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [mine]}}
    toleration = Toleration(key="node.kubernetes.io/unreachable", operator="Exists", effect="NoExecute")
    scheduling = Scheduling(affinity=affinity, tolerations=(toleration,), priority_class_name="high")
    spec = pod(scheduling=scheduling)
    wishes = spec["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert wishes[0] == mine and len(wishes) == 2
    assert len(affinity["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]) == 1
    keys = [t["key"] for t in spec["tolerations"]]
    assert keys == ["node.kubernetes.io/unreachable", "node.kubernetes.io/not-ready"]
    assert spec["priorityClassName"] == "high"


@pytest.mark.parametrize(("limits", "resource"), [({"cpu": "2", "memory": "2Gi"}, "limits.cpu"), ({}, "requests.cpu")])
def test_cpu_is_told_from_the_limit_if_there_is_one(limits: dict[str, str], resource: str) -> None:
    (container,) = pod(resources=Resources(limits=ComputeAmounts(**limits)))["containers"]
    variable = next(v for v in container["env"] if v["name"] == "AURORA_CPU_MILLIS")
    assert variable["valueFrom"]["resourceFieldRef"]["resource"] == resource
    assert "memory" in container["resources"]["limits"]


def test_template_fingerprint_follows_the_template() -> None:
    same, other = Instance(1, "image", zone="a"), Instance(1, "image:2", zone="a")
    first = template_of(build_statefulset(IDENTITY, same))
    assert first == template_of(build_statefulset(IDENTITY, same))
    assert first != template_of(build_statefulset(IDENTITY, other))
    # The promotion tier is for the agents, and restarts nobody.
    assert first == template_of(build_statefulset(IDENTITY, Instance(1, "image", zone="a", tier=0)))


def test_labels_and_owners() -> None:
    objects = [
        build_statefulset(IDENTITY, Instance(1, "image", zone="a")),
        *build_services(IDENTITY, readers=True),
        *build_access(IDENTITY, ["demo-1"]),
        build_claim(IDENTITY, "demo-1", zone="a", size="1Gi", storage_class=None),
    ]
    for obj in objects:
        assert obj["apiVersion"] == CHILD_KINDS[obj["kind"]]
        labels = obj["metadata"]["labels"]
        assert labels[names.LABEL_CLUSTER] == labels["app.kubernetes.io/instance"] == "demo"
        assert labels["app.kubernetes.io/managed-by"] == "aurora-operator"
        assert labels["app.kubernetes.io/name"] == "aurora-postgresql"
        assert ("ownerReferences" in obj["metadata"]) == (obj["kind"] != "PersistentVolumeClaim")


def test_pods_may_touch_named_objects_only() -> None:
    _, role, _ = build_access(IDENTITY, ["demo-1", "demo-3"])
    assert all(rule["resourceNames"] for rule in role["rules"])
    pods = next(rule for rule in role["rules"] if rule["resources"] == ["pods"])
    assert pods["resourceNames"] == ["demo-1-0", "demo-3-0"] and pods["verbs"] == ["get", "patch"]
    assert not any("secrets" in rule["resources"] for rule in role["rules"])


def test_only_our_operator_reaches_the_agents() -> None:
    policy = build_network_policy(IDENTITY, OperatorConfig("image", "aurora-system", {"app": "op"}))
    doors: dict[int, list[Any]] = {}
    for rule in policy["spec"]["ingress"]:
        for port in rule["ports"]:
            doors.setdefault(port["port"], []).extend(rule.get("from", ["all"]))
    assert doors[names.POSTGRES_PORT] == ["all"] and doors[names.HEALTH_PORT] == ["all"]
    (own,) = doors[names.PEER_PORT]
    assert own["podSelector"]["matchLabels"] == {names.LABEL_CLUSTER: "demo"}
    assert own["podSelector"] == policy["spec"]["podSelector"]
    (others,) = own["podSelector"]["matchExpressions"]
    assert (others["operator"], others["values"]) == ("NotIn", ["rehearsal"]), "policies add up"
    operators = doors[names.API_PORT][-1]
    assert operators["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "aurora-system"}
    assert operators["podSelector"]["matchLabels"] == {"app": "op"}


def connection(kind: str = BASIC_AUTH) -> dict[str, Any]:
    instances = ["demo-1", "demo-2"]
    return build_app_secret(
        IDENTITY, database="shop", username="app", password="a/b c", instances=instances, ca="CA", kind=kind
    )


def test_connection_secret() -> None:
    secret = connection()
    data = {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}
    assert data["host"] == "demo.prod.svc" and data["ro-host"] == "demo-ro.prod.svc" and data["ca.crt"] == "CA"
    assert data["jdbc-uri"] == "jdbc:postgresql://demo.prod.svc:5432/shop?user=app&password=a%2Fb+c&sslmode=require"
    assert data["multi-host-uri"] == (
        "postgresql://app:a%2Fb%20c@demo-1-0.demo-pods.prod.svc:5432,demo-2-0.demo-pods.prod.svc:5432/shop"
        "?sslmode=require&connect_timeout=2&target_session_attrs=read-write"
    )


def test_each_connection_string_is_there_as_one_that_verifies_the_server() -> None:
    data = {key: base64.b64decode(value).decode() for key, value in connection()["data"].items()}
    plain = {key for key in data if key.endswith("uri") and not key.startswith("verified-")}
    assert plain == {"uri", "ro-uri", "jdbc-uri", "multi-host-uri"}
    for key in plain:
        strict = data[key].replace("sslmode=require", "sslmode=verify-full&sslrootcert=/bindings/demo/ca.crt")
        assert data[f"verified-{key}"] == strict != data[key]


def test_the_connection_secret_can_be_bound_and_is_a_basic_authentication() -> None:
    data = {key: base64.b64decode(value).decode() for key, value in connection()["data"].items()}
    assert connection()["type"] == "kubernetes.io/basic-auth" and connection(kind="Opaque")["type"] == "Opaque"
    wanted = {
        "type": "postgresql",
        "provider": "aurora-operator",
        "host": "demo.prod.svc",
        "port": "5432",
        "database": "shop",
        "username": "app",
        "password": "a/b c",
        "sslmode": "verify-full",
        "sslrootcert": "ca.crt",
    }
    assert {key: data[key] for key in wanted} == wanted
    assert data["sslrootcert"] in data, "frameworks look for it beside the other keys"
    assert urlsplit(data["uri"]).hostname == data["host"]


@pytest.mark.parametrize(
    ("there", "wanted", "same"),
    [
        ({"cpu": "1"}, {"cpu": "1000m"}, True),
        ({"memory": "1Gi"}, {"memory": "2Gi"}, False),
        ({"ports": [{"name": "a", "port": 1, "nodePort": 3}]}, {"ports": [{"name": "a", "port": 1}]}, True),
        ({"env": [{"name": "other"}, {"name": "a"}]}, {"env": [{"name": "a"}]}, True),
        ({"rules": [{"a": 1}, {"b": 1}]}, {"rules": [{"a": 1}]}, False),
        ({"selector": {"a": "1", "b": "1"}}, {"selector": {"a": "1"}}, False),
        ({"labels": {"a": "1", "b": "1"}}, {"labels": {"a": "1"}}, True),
        ({"endpoints": None}, {"endpoints": []}, True),
        ({}, {"emptyDir": {}}, True),
        ({"drop": ["ALL", "NONE"]}, {"drop": ["ALL"]}, False),
        ({"ingress": [{"ports": [1], "from": []}]}, {"ingress": [{"ports": [1]}]}, False),
        ({"from": [{"podSelector": {}, "namespaceSelector": {}}]}, {"from": [{"podSelector": {}}]}, False),
        ({"from": [{"podSelector": {}}]}, {"from": [{"podSelector": {"matchLabels": {}}}]}, True),
        (None, {"a": 1}, False),
    ],
)
def test_compare(there: Any, wanted: Any, same: bool) -> None:
    assert covers(there, wanted) is same
