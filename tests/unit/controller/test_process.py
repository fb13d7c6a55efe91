from __future__ import annotations

import json
import logging
from typing import Any

import kopf
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from aurora_operator.controller import handlers, logs
from aurora_operator.controller.config import Config, ConfigError
from aurora_operator.controller.metrics import Metrics
from aurora_operator.kube.cache import Store

ENV = {
    "AURORA_INSTANCE_IMAGE": "aurora-instance:1",
    "POD_NAMESPACE": "sys",
    "POD_NAME": "op-0",
    "POD_UID": "u",
    "AURORA_POD_LABELS": '{"app": "operator"}',
}


def test_configuration() -> None:
    config = Config.from_env(ENV | {"AURORA_WATCH_NAMESPACES": "a,b"})
    assert config.identity == "op-0_u"
    assert config.operator.pod_labels == {"app": "operator"}
    assert config.watch_namespaces == ("a", "b")
    assert Config.from_env(ENV).watch_namespaces == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"POD_NAME": ""}, "POD_NAME must be set"),
        ({"AURORA_POD_LABELS": "{}"}, "AURORA_POD_LABELS must be a JSON object"),
        ({"AURORA_POD_LABELS": "a=b"}, "AURORA_POD_LABELS must be a JSON object"),
        ({"AURORA_HEALTH_PORT": "70000"}, "AURORA_HEALTH_PORT must be a port number"),
    ],
)
def test_configuration_that_makes_no_sense(change: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Config.from_env(ENV | change)


# Kopf calls them with much more than they take.
cluster_event: Any = handlers.cluster_event
snapshot_event: Any = handlers.snapshot_event
alive: Any = handlers.alive


class FakeFleet:
    active = True

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def seen(self, key: Any, fingerprint: Any) -> None:
        self.heard.append(("seen", key, fingerprint))

    def gone(self, key: Any) -> None:
        self.heard.append(("gone", key))

    def wake(self, key: Any) -> None:
        self.heard.append(("wake", key))


async def test_handlers_say_who_must_look_again() -> None:
    fleet = FakeFleet()
    clusters = Store()
    memo = kopf.Memo(fleet=fleet, clusters=clusters)
    metadata = {"namespace": "ns", "name": "demo", "uid": "u", "generation": 2, "annotations": {"a": "b"}}
    body = {"metadata": metadata, "status": {"phase": "Ready"}}
    event = {"type": "MODIFIED", "object": body}
    await cluster_event(event=event, namespace="ns", name="demo", memo=memo)
    assert clusters.get("ns", "demo") == body
    await cluster_event(event={**event, "type": "DELETED"}, namespace="ns", name="demo", memo=memo)
    assert clusters.get("ns", "demo") is None
    key = ("ns", "demo")
    assert fleet.heard == [("seen", key, handlers.fingerprint(body)), ("gone", key)]


async def test_a_new_snapshot_wakes_its_cluster_which_may_have_to_run_for_it() -> None:
    fleet, snapshots = FakeFleet(), FakeFleet()
    memo = kopf.Memo(fleet=fleet, snapshots=snapshots)
    body = {"metadata": {"uid": "u", "generation": 1}, "spec": {"cluster": "demo"}}
    for kind in ("ADDED", "MODIFIED", "DELETED"):
        await snapshot_event(event={"type": kind, "object": body}, namespace="ns", name="monday", memo=memo)
    copy = {"metadata": {"uid": "v", "generation": 1}, "spec": {"sourceSnapshot": "monday"}}
    await snapshot_event(event={"type": "ADDED", "object": copy}, namespace="ns", name="tuesday", memo=memo)
    assert fleet.heard == [("wake", ("ns", "demo"))]
    assert [heard[0] for heard in snapshots.heard] == ["seen", "seen", "gone", "seen"]


def test_only_what_users_change_counts() -> None:
    body: dict[str, Any] = {"metadata": {"uid": "u", "generation": 2}, "status": {"phase": "Ready"}}
    same = {**body, "status": {"phase": "Degraded"}}
    assert handlers.fingerprint(body) == handlers.fingerprint(same)
    for change in ({"generation": 3}, {"deletionTimestamp": "x"}, {"annotations": {"a": "b"}}, {"finalizers": ["f"]}):
        assert handlers.fingerprint({"metadata": {**body["metadata"], **change}}) != handlers.fingerprint(body)


def test_kopf_watches_our_resources_only_and_writes_nothing() -> None:
    settings = handlers.settings()
    assert settings.watching.server_timeout
    assert settings.watching.client_timeout
    registry = handlers.registry
    assert not registry._spawning.get_all_handlers(), "a daemon or timer would put a finalizer on the resource"
    assert not registry._changing.get_all_handlers(), "a change handler would put an annotation on the resource"
    assert len(registry._watching.get_all_handlers()) == 2


async def test_the_probe_complains() -> None:
    complaints: list[str] = []
    memo = kopf.Memo(fleet=FakeFleet(), complaints=lambda: complaints)
    assert await alive(memo=memo) == "leading"
    complaints.append("ns/demo: a pass is 99 s late")
    with pytest.raises(RuntimeError, match="99 s late"):
        await alive(memo=memo)


_SUNDAY = "1.7949744e+09"


def test_metrics() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry, lambda: True)
    members = [
        {"name": "demo-1", "role": "writer", "ready": True},
        {"name": "demo-2", "role": "reader", "ready": False, "lagBytes": 512, "lagSeconds": 0.5},
    ]
    volume = {"name": "demo-1", "size": "20k", "capacity": "1k", "usedBytes": 800, "freeBytes": 200}
    storage = {"usedBytes": 800, "bytesLeft": 5600, "volumes": [volume, {"name": "demo-2", "size": "10Gi"}]}
    status = {"phase": "Degraded", "epoch": 7, "members": members, "storage": storage}
    metrics.passed(("ns", "demo"), status, seconds=0.2, failed=False)
    rehearsal = {
        "last": {"result": "Failed", "finishedAt": "2026-11-25T04:00:00Z", "durationSeconds": 90, "restoreSeconds": 12},
        "lastPassedAt": "2026-11-18T04:00:00+00:00",
    }
    status = {"phase": "Ready", "backup": {"rehearsal": rehearsal}}
    metrics.passed(("ns", "rehearsed"), status, seconds=0.2, failed=False)
    metrics.passed(("ns", "x"), {"phase": "Ready"}, seconds=0.2, failed=True)
    text = generate_latest(registry).decode()
    for line in (
        "aurora_operator_leader 1.0",
        'aurora_clusters{phase="Degraded"} 1.0',
        'aurora_clusters{phase="Ready"} 2.0',
        'aurora_cluster_epoch{cluster="demo",namespace="ns"} 7.0',
        'aurora_member_ready{cluster="demo",instance="demo-1",namespace="ns"} 1.0',
        'aurora_member_ready{cluster="demo",instance="demo-2",namespace="ns"} 0.0',
        'aurora_member_lag_bytes{cluster="demo",instance="demo-2",namespace="ns"} 512.0',
        'AuroraReplicaLag{cluster="demo",instance="demo-2",namespace="ns"} 500.0',
        'VolumeBytesUsed{cluster="demo",namespace="ns"} 800.0',
        'AuroraVolumeBytesLeftTotal{cluster="demo",namespace="ns"} 5600.0',
        'aurora_member_volume_bytes{cluster="demo",instance="demo-1",namespace="ns"} 1000.0',
        'aurora_member_volume_free_bytes{cluster="demo",instance="demo-1",namespace="ns"} 200.0',
        'aurora_restore_rehearsal_passed{cluster="rehearsed",namespace="ns"} 0.0',
        'aurora_restore_rehearsal_seconds{cluster="rehearsed",namespace="ns"} 90.0',
        'aurora_restore_rehearsal_restore_seconds{cluster="rehearsed",namespace="ns"} 12.0',
        f'aurora_restore_rehearsal_last_passed_time_seconds{{cluster="rehearsed",namespace="ns"}} {_SUNDAY}',
        'aurora_reconcile_total{result="success"} 2.0',
        'aurora_reconcile_total{result="error"} 1.0',
        "aurora_reconcile_seconds_count 3.0",
    ):
        assert line in text.splitlines()
    metrics.forget(("ns", "demo"))
    assert "demo" not in generate_latest(registry).decode()


def test_logs_are_json(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    try:
        logs.configure("INFO")
        logging.getLogger("aurora").warning("ns/%s: %s", "demo", "so it is")
        logging.getLogger("httpx").info("GET https://…")
    finally:
        root.handlers[:], root.level = before
    (line,) = capsys.readouterr().out.splitlines()
    entry = json.loads(line)
    assert (entry["level"], entry["logger"], entry["message"]) == ("WARNING", "aurora", "ns/demo: so it is")
    assert entry["time"]
