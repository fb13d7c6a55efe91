"""A parameter of each kind: reloaded, needing a restart, refused by PostgreSQL, ours."""

from __future__ import annotations

import time

import pytest
from tests.e2e import kube
from tests.e2e.aurora import AuroraCluster
from tests.e2e.conftest import Measure
from tests.e2e.kube import until
from tests.e2e.probe import Probe
from tests.kind.shell import CommandFailed

from aurora_operator.api.base import reasons


def test_a_reload_restarts_nothing(cluster: AuroraCluster) -> None:
    before = starts(cluster)
    cluster.change({"parameters": {"work_mem": "7MB"}})
    until("all instances have it", lambda: shown(cluster, "work_mem") == {"7MB"}, timeout=60)
    cluster.wait_ready()
    assert starts(cluster) == before


def test_a_restart_is_made_once_each(cluster: AuroraCluster, measure: Measure, connections: int = 150) -> None:
    """Raised; a standby cannot start with less than its primary had, so lowering does not take effect (docs)."""
    history = {name: [at] for name, at in starts(cluster).items()}
    leader = cluster.leadership()
    with Probe(cluster) as probe:
        cluster.change({"parameters": {"max_connections": connections}})
        begun = time.monotonic()
        until("all are restarted", lambda: _restarted(cluster, history, str(connections)), timeout=180, every=0.3)
        measure(f"a restart of all, to max_connections {connections}, seconds", time.monotonic() - begun)
        cluster.wait_ready()
        report = probe.stop()
    measure(f"max_connections {connections}: longest time without a write, seconds", report.longest_gap())
    report.require_nothing_lost()
    assert report.longest_gap() < 10 * kube.PATIENCE
    assert {name: len(seen) for name, seen in history.items()} == dict.fromkeys(history, 2), history
    # Readers first; the one that was the writer last, after it had handed over.
    assert max(history, key=lambda name: history[name][1]) == leader.instance
    assert cluster.leadership().instance != leader.instance
    assert all(not member.get("pendingRestart") for member in cluster.status["members"])


def test_a_bad_value_changes_nothing(cluster: AuroraCluster) -> None:
    before = starts(cluster)
    cluster.change({"parameters": {"work_mem": "lots"}})
    refused = cluster.wait_condition("SpecAccepted", "False", timeout=60, reason=reasons.PARAMETERS_REFUSED)
    assert "work_mem" in refused["message"] and "lots" in refused["message"]
    assert cluster.status["phase"] == "Blocked"
    until("an event says so", lambda: cluster.events(reasons.SPEC_REJECTED), timeout=30)
    cluster.wait_condition("Available", "True", timeout=5)
    assert shown(cluster, "work_mem") == {"7MB"}
    assert starts(cluster) == before
    cluster.change({"parameters": {"work_mem": "8MB"}})
    cluster.wait_condition("SpecAccepted", "True", timeout=60)
    until("all instances have it", lambda: shown(cluster, "work_mem") == {"8MB"}, timeout=60)
    cluster.wait_ready()


def test_ours_are_refused_at_once(cluster: AuroraCluster) -> None:
    with pytest.raises(CommandFailed) as caught:
        cluster.change({"parameters": {"fsync": "off"}})
    assert "fsync cannot be set: it protects acknowledged writes" in caught.value.output
    assert "fsync" not in cluster.read()["spec"]["parameters"]


def shown(cluster: AuroraCluster, name: str) -> set[str]:
    """A parameter's values on the instances."""
    return {cluster.sql(instance, f"SHOW {name}") for instance in cluster.instances()}


def starts(cluster: AuroraCluster) -> dict[str, str]:
    """When each instance's PostgreSQL was started."""
    return {name: cluster.started(name) for name in cluster.instances()}


def _restarted(cluster: AuroraCluster, history: dict[str, list[str]], value: str) -> bool:
    """Note new starts; whether all instances have the value of max_connections."""
    done = True
    for name, seen in history.items():
        at, has = cluster.sql(name, "SELECT pg_postmaster_start_time(), current_setting('max_connections')").split("|")
        if at != seen[-1]:
            seen.append(at)
        done &= has == value
    return done
