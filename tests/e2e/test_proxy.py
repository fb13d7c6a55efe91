"""The proxy: its endpoints, and clients who stay when the writer changes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.e2e import faults, kube, proxy_clients
from tests.e2e.aurora import AuroraCluster
from tests.e2e.client import CONTAINER, POD, Client, Refused
from tests.e2e.conftest import Measure
from tests.e2e.kube import until

from aurora_operator.api.base import names
from aurora_operator.api.base.conditions import PROXY_READY

CLIENTS = 100
BUSY = 10
IN_RECOVERY = "SELECT pg_is_in_recovery()"
SPEC = {"replicas": 2, "maxConnectionsPercent": 20, "connectionBorrowTimeout": 60}


@pytest.fixture(scope="module")
def proxied(shared: Any) -> Iterator[AuroraCluster]:
    """The shared cluster, with a proxy while this module's tests run."""
    cluster: AuroraCluster = shared.ready()
    cluster.change({"proxy": SPEC})
    try:
        cluster.wait_condition(PROXY_READY, "True", timeout=90)
        yield cluster
    finally:
        cluster.change({"proxy": None})
        until(
            "the proxy is gone", lambda: kube.get("service", names.proxy("demo"), cluster.namespace) is None, timeout=30
        )


def test_both_endpoints_lead_where_they_say(proxied: AuroraCluster, client: Client) -> None:
    """With a certificate of their names, by the cluster's password, and no other."""

    def answers(service: str) -> Callable[[], str | None]:
        def ask() -> str | None:
            try:
                return client.psql(client.conninfo(service), IN_RECOVERY)
            except Refused:
                return None

        return ask

    assert until("the writer answers", answers("demo-proxy"), timeout=30) == "f"
    until("a reader answers", lambda: answers("demo-proxy-ro")() == "t", timeout=30)
    with pytest.raises(Refused, match="authentication failed"):
        client.psql(client.conninfo("demo-proxy"), "SELECT 1", password="wrong")
    with pytest.raises(Refused):
        client.psql(client.conninfo("demo-proxy", sslmode="disable"), "SELECT 1")
    client.psql(client.conninfo("demo-proxy"), "CREATE TABLE IF NOT EXISTS kept (number bigserial PRIMARY KEY)")


def test_a_crash_costs_no_idle_session(proxied: AuroraCluster, client: Client, measure: Measure) -> None:
    before = proxied.leadership()
    said = _through(proxied, client, lambda: faults.kill_agent(proxied.namespace, names.pod_name(before.instance)))
    measure("proxy, the writer's container killed: longest statement, seconds", said["longest"])
    measure("proxy, the writer's container killed: errors of 10 busy clients", len(said["errors"]))
    assert said["lost"] == 0, said
    assert len(said["errors"]) <= BUSY, said
    assert len(said["refused"]) <= BUSY, said
    proxied.wait_roles(readers=2)


def test_a_switchover_costs_nothing(proxied: AuroraCluster, client: Client, measure: Measure) -> None:
    said = _through(proxied, client, lambda: proxied.annotate(names.ANNOTATION_SWITCHOVER, "any"))
    measure("proxy, switchover: longest statement, seconds", said["longest"])
    assert said["lost"] == 0, said
    assert said["errors"] == said["refused"] == [], said
    proxied.wait_roles(readers=2)


def _through(cluster: AuroraCluster, client: Client, fault: Callable[[], object]) -> dict[str, Any]:
    """What became of clients who were there when the writer changed."""
    before, count = cluster.leadership(), "SELECT count(*) FROM kept"

    def rows() -> int:
        return int(cluster.sql(cluster.leadership().instance, count, database="app"))

    written = rows()
    script, conninfo = Path(proxy_clients.__file__).read_text(), client.conninfo("demo-proxy")
    words = ["python3", "-c", script, conninfo, str(CLIENTS), str(BUSY)]
    with ThreadPoolExecutor(1) as pool:
        clients = pool.submit(kube.execute, cluster.namespace, POD, CONTAINER, *words, timeout=120)
        until("they write", lambda: clients.done() or rows() > written + BUSY, timeout=60)
        fault()
        cluster.wait_leadership(before)
        said: dict[str, Any] = json.loads(clients.result())
    assert len(said["epochs"]) == 2, said
    return said
