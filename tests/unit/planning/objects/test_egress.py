"""Where a rehearsal's pod may connect to, by the destination of the backups."""

from __future__ import annotations

from typing import Any

import pytest

from aurora_operator.api.base import names
from aurora_operator.api.spec.repository import Destination
from aurora_operator.planning.objects.common import Identity
from aurora_operator.planning.objects.rehearsal import COMPONENT, build_rehearsal_policy

IDENTITY = Identity("demo", "prod", "uid-1")
KEY = {"credentials": {"name": "key"}}


def spec(destination: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = build_rehearsal_policy(IDENTITY, Destination.model_validate(destination))["spec"]
    return found


def anywhere(destination: dict[str, Any]) -> set[int]:
    """The TCP ports that are open to all addresses, but for those of DNS."""
    rules = [rule for rule in spec(destination)["egress"] if "to" not in rule]
    return {p["port"] for rule in rules for p in rule["ports"] if p["protocol"] == "TCP"} - {53, 5353}


def inside(destination: dict[str, Any]) -> set[str]:
    """The namespaces that are open."""
    to = [peer for rule in spec(destination)["egress"] for peer in rule.get("to", ())]
    selectors = [peer["namespaceSelector"]["matchLabels"] for peer in to if "namespaceSelector" in peer]
    return {labels["kubernetes.io/metadata.name"] for labels in selectors}


def addresses(destination: dict[str, Any]) -> set[str]:
    to = [peer for rule in spec(destination)["egress"] for peer in rule.get("to", ())]
    return {peer["ipBlock"]["cidr"] for peer in to if "ipBlock" in peer}


def s3(endpoint: str, **more: Any) -> dict[str, Any]:
    return {"s3": {"bucket": "backups", "endpoint": endpoint, **KEY, **more}}


def test_nobody_reaches_it_and_it_resolves_names() -> None:
    policy = spec(s3("s3.eu-central-1.amazonaws.com"))
    assert policy["podSelector"]["matchLabels"] == {names.LABEL_CLUSTER: "demo", names.LABEL_COMPONENT: COMPONENT}
    assert policy["policyTypes"] == ["Ingress", "Egress"] and policy["ingress"] == []
    dns = {(p["protocol"], p["port"]) for p in policy["egress"][0]["ports"]}
    assert dns == {(protocol, port) for protocol in ("UDP", "TCP") for port in (53, 5353)}


def test_a_volume_is_mounted_by_the_node() -> None:
    assert spec({"volume": {"claimName": "backups"}})["egress"] == []


@pytest.mark.parametrize(
    ("destination", "ports"),
    [
        (s3("s3.eu-central-1.amazonaws.com"), {443}),
        (s3("minio.example.org:9000"), {9000}),
        # The server of the token is another one.
        ({"gcs": {"bucket": "backups", "endpoint": "gcs.example.org:4443", **KEY}}, {443, 4443}),
        ({"gcs": {"bucket": "backups"}}, {443}),
        (s3("minio.example.org:9000", credentials=None), {443, 9000}),
        ({"azure": {"account": "company", "container": "backups", **KEY}}, {443}),
    ],
)
def test_only_the_destinations_port_is_open(destination: dict[str, Any], ports: set[int]) -> None:
    assert anywhere(destination) == ports


@pytest.mark.parametrize(
    ("endpoint", "namespace"),
    [
        ("minio.storage.svc:9000", "storage"),
        ("minio.storage.svc.cluster.local", "storage"),
        ("minio-0.minio.storage.svc", "storage"),
        ("minio.storage:9000", "storage"),
        ("minio:9000", "prod"),
        ("s3.eu-central-1.amazonaws.com", None),
        ("svc.backup.example.org", None),
    ],
)
def test_a_server_in_the_cluster_may_listen_on_another_port_than_its_service(endpoint: str, namespace: str) -> None:
    assert inside(s3(endpoint)) == ({namespace} if namespace else set())


def test_only_without_credentials_it_may_ask_who_it_is() -> None:
    known = {"169.254.169.254/32", "169.254.169.252/32"}
    assert not addresses(s3("s3.eu-central-1.amazonaws.com"))
    assert addresses(s3("s3.eu-central-1.amazonaws.com", credentials=None)) == known
    assert addresses({"gcs": {"bucket": "backups"}}) == known
