"""A cluster in a namespace where its names are somebody else's: all of that stays as it is, whatever becomes of it."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from tests.e2e import kube
from tests.e2e.aurora import SMALL, AuroraCluster
from tests.e2e.conftest import Shared
from tests.e2e.kube import Object, until
from tests.kind.context import kubectl

from aurora_operator.api.base import names, reasons
from aurora_operator.planning.objects.security import restricted_container, restricted_pod

NAME = "shop"
MARKER = "not-yours"
_RULES = [{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["none"], "verbs": ["get"]}]
_PORTS = [{"name": "http", "port": 80}]
_CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "64Mi"}}}
THEIRS: list[tuple[str, str, str, dict[str, Any]]] = [
    ("v1", "Service", NAME, {"spec": {"selector": {"app": "shop"}, "ports": _PORTS}}),
    ("v1", "ServiceAccount", NAME, {}),
    ("rbac.authorization.k8s.io/v1", "Role", NAME, {"rules": _RULES}),
    ("v1", "Secret", names.ca_secret(NAME), {"stringData": {"ca.crt": MARKER}}),
    ("v1", "Secret", names.tls_secret(NAME), {"stringData": {"tls.crt": MARKER}}),
    ("v1", "ConfigMap", names.settings_configmap(NAME), {"data": {"mine": MARKER}}),
    ("v1", "PersistentVolumeClaim", f"data-{NAME}-1", {"spec": _CLAIM}),
]
_WRITER = {
    "name": "shell",
    "image": "aurora-instance:dev",
    "command": ["sh", "-c", f"echo {MARKER} > /data/marker && cat /data/marker && sleep 3600"],
    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    "securityContext": restricted_container(),
}


def manifest(version: str, kind: str, name: str, namespace: str, content: dict[str, Any]) -> Object:
    metadata = {"name": name, "namespace": namespace, "labels": {"app": "shop"}}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **copy.deepcopy(content)}


def essence(live: Object) -> Object:
    """What is somebody's: all but the status, which Kubernetes writes, and its counts."""
    metadata = live["metadata"]
    kept = {key: metadata.get(key) for key in ("uid", "labels", "annotations", "ownerReferences", "deletionTimestamp")}
    kept["annotations"] = {k: v for k, v in (kept["annotations"] or {}).items() if "kubernetes.io/" not in k}
    return {**{key: value for key, value in live.items() if key not in ("metadata", "status")}, "metadata": kept}


def reader_of(claim: str, namespace: str) -> Object:
    """A pod of theirs that writes a marker on the volume, and reads it."""
    pod = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "securityContext": restricted_pod(),
        "containers": [_WRITER],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}],
    }
    return manifest("v1", "Pod", "theirs", namespace, {"spec": pod})


@pytest.fixture
def namespace(shared: Shared) -> Iterator[str]:
    """One for each test: what is there is the test's own."""
    shared.release()
    name = f"e2e-taken-{uuid.uuid4().hex[:6]}"
    kube.make_namespace(name)
    yield name
    kube.delete_namespace(name)


@pytest.mark.parametrize("when_deleted", ["Retain", "Delete"])
def test_all_that_was_there_before_stays_as_it_is(namespace: str, when_deleted: str) -> None:
    for version, kind, name, content in THEIRS:
        kube.apply(manifest(version, kind, name, namespace, content))
    kube.apply(reader_of(f"data-{NAME}-1", namespace))
    inside = ("--namespace", namespace)
    kubectl(*inside, "wait", "--for=condition=Ready", "pod/theirs", "--timeout=120s")

    def now() -> dict[tuple[str, str], Object]:
        return {(kind, name): essence(kube.need(kind, name, namespace)) for _, kind, name, _ in THEIRS}

    before = now()
    spec = {**SMALL, "storage": {"volumeRetention": {"whenDeleted": when_deleted}}, "skipFinalSnapshot": True}
    cluster = AuroraCluster(NAME, namespace)
    cluster.create(spec)
    said = cluster.wait_condition("NameTaken", "True", timeout=60)
    until("the names are told", lambda: _all_told(cluster), timeout=60)
    assert "another name" in said["message"]
    assert cluster.events(reasons.NAME_TAKEN)
    assert now() == before
    assert not kube.items("statefulset", namespace) and len(kube.items("pod", namespace)) == 1

    cluster.delete()
    assert now() == before
    assert kubectl(*inside, "exec", "theirs", "--", "cat", "/data/marker").strip() == MARKER
    label = f"{names.LABEL_CLUSTER}={NAME}"
    until("what was the cluster's has gone", lambda: not kube.items("secret", namespace, label), timeout=60)
    assert now() == before


def _all_told(cluster: AuroraCluster) -> bool:
    """The sentence lists five, and counts the rest."""
    said = kube.condition(cluster.read(), "NameTaken")
    return said is not None and "Secret shop-ca" in said["message"] and "1 more" in said["message"]


def test_it_goes_on_once_they_are_out_of_the_way(namespace: str) -> None:
    kube.apply(manifest("v1", "ConfigMap", names.settings_configmap(NAME), namespace, {"data": {"mine": MARKER}}))
    cluster = AuroraCluster(NAME, namespace)
    cluster.create(SMALL)
    cluster.wait_condition("NameTaken", "True", timeout=60)
    kube.delete("configmap", names.settings_configmap(NAME), namespace)
    cluster.wait_ready(180)
    assert kube.condition(cluster.read(), "NameTaken") is None
    cluster.delete()
