"""What somebody deletes or edits comes back as it was, while writing goes on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.e2e import kube
from tests.e2e.aurora import AuroraCluster
from tests.e2e.kube import Object, until
from tests.e2e.probe import Probe

from aurora_operator.api.base import names

DELETED = [
    ("service", "demo"),
    ("service", "demo-ro"),
    ("service", "demo-pods"),
    ("poddisruptionbudget", "demo"),
    ("networkpolicy", "demo"),
    ("configmap", "demo-settings"),
    ("configmap", "demo-record"),
    ("endpointslice", "demo-writer"),
    ("secret", "demo-tls"),
    ("role", "demo"),
    ("rolebinding", "demo"),
]
EDITED: list[tuple[str, str, dict[str, Any]]] = [
    ("service", "demo-ro", {"spec": {"selector": {names.LABEL_ROLE: "nobody"}}}),
    ("service", "demo", {"spec": {"selector": {"app": "mine"}}}),
    ("poddisruptionbudget", "demo", {"spec": {"maxUnavailable": 3}}),
    ("configmap", "demo-settings", {"data": {"settings.json": "{}"}}),
    ("role", "demo", {"rules": []}),
    ("statefulset", "demo-1", {"spec": {"replicas": 0}}),
    ("endpointslice", "demo-writer", {"endpoints": [{"addresses": ["192.0.2.1"], "conditions": {"ready": True}}]}),
    ("endpointslice", "demo-writer", {"endpoints": []}),
]
_CHANGING = ("resourceVersion", "uid", "creationTimestamp", "generation", "managedFields")


def test_deleted_objects_come_back(cluster: AuroraCluster) -> None:
    before = {item: _essence(kube.need(*item, cluster.namespace)) for item in DELETED}
    for kind, name in DELETED:
        kube.delete(kind, name, cluster.namespace, wait=False)
    for kind, name in DELETED:

        def back(kind: str = kind, name: str = name) -> bool:
            now = kube.need(kind, name, cluster.namespace)
            return "deletionTimestamp" not in now["metadata"] and _same(before[kind, name], _essence(now))

        until(f"{kind} {name} is back", back, timeout=60)
    cluster.wait_ready()
    with Probe(cluster) as probe:
        probe.stop().require_nothing_lost()


@pytest.mark.parametrize(("kind", "name", "change"), EDITED, ids=lambda value: value if isinstance(value, str) else "")
def test_edited_objects_are_put_right(cluster: AuroraCluster, kind: str, name: str, change: dict[str, Any]) -> None:
    before = _essence(kube.need(kind, name, cluster.namespace))
    kube.patch(kind, name, cluster.namespace, change)
    until(
        f"{kind} {name} is as before",
        lambda: _same(before, _essence(kube.need(kind, name, cluster.namespace))),
        timeout=60,
        every=0.2,
    )
    cluster.wait_ready()


def test_a_deleted_statefulset_comes_back_with_its_volume(cluster: AuroraCluster) -> None:
    reader = cluster.readers()[0]
    claim = kube.need("pvc", f"data-{reader}", cluster.namespace)["metadata"]["uid"]
    uid = kube.need("statefulset", reader, cluster.namespace)["metadata"]["uid"]
    with Probe(cluster) as probe:
        kube.delete("statefulset", reader, cluster.namespace, wait=False)
        until(
            "another StatefulSet is there",
            lambda: kube.need("statefulset", reader, cluster.namespace)["metadata"]["uid"] != uid,
            timeout=60,
        )
        cluster.wait_ready(120)
        report = probe.stop()
    report.require_nothing_lost()
    assert kube.need("pvc", f"data-{reader}", cluster.namespace)["metadata"]["uid"] == claim
    assert report.longest_gap() < 10 * kube.PATIENCE


def test_a_crashed_reader_is_waited_for(cluster: AuroraCluster) -> None:
    """Its pod deleted with the volume claim too: a new copy is made."""
    reader = cluster.readers()[-1]
    claim = kube.need("pvc", f"data-{reader}", cluster.namespace)["metadata"]["uid"]
    kube.delete("pvc", f"data-{reader}", cluster.namespace, wait=False)
    kube.delete("pod", names.pod_name(reader), cluster.namespace, wait=False)
    until(
        "another claim is there",
        lambda: kube.need("pvc", f"data-{reader}", cluster.namespace)["metadata"]["uid"] != claim,
        timeout=90,
    )
    cluster.wait_ready(180)


def _essence(live: Object) -> Object:
    """An object without what differs each time it is made."""
    kept = {key: value for key, value in live.items() if key != "status"}
    kept["metadata"] = {key: value for key, value in live["metadata"].items() if key not in _CHANGING}
    return kept


def _same(before: Object, now: Object) -> bool:
    """Whether an object is as it was, but for what may rightly be new: revisions, certificates, addresses."""
    if before["kind"] == "Secret":
        return sorted(before["data"]) == sorted(now["data"]) and before["data"]["ca.crt"] == now["data"]["ca.crt"]
    if before["metadata"]["name"] == "demo-record":
        # The rest of it is the leader's to write, when the membership changes next.
        return bool(json.loads(now["data"]["record.json"])["state"] == "initialised")
    if before["kind"] == "ConfigMap":
        then, since = (json.loads(live["data"]["settings.json"]) for live in (before, now))
        return bool(since.pop("revision", 0) >= then.pop("revision") and since == then)
    if before["kind"] == "Service":
        fixed = ("selector", "ports", "type")
        return all(before["spec"].get(key) == now["spec"].get(key) for key in fixed)
    if before["kind"] == "EndpointSlice":
        return [e["addresses"] for e in before["endpoints"]] == [e["addresses"] for e in now.get("endpoints") or []]
    return {k: v for k, v in before.items() if k != "metadata"} == {k: v for k, v in now.items() if k != "metadata"}
